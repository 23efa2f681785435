import { answer, bodyOf, serve } from '../../infra/local/serve.ts';

/** Lambda's Invoke API, which records its requests and invokes nothing. The functions of this process find it. */
export async function startLambda(status = 202) {
  const invocations: { path: string; type: unknown; event: unknown }[] = [];
  const served = await serve(async (request, response) => {
    const event = JSON.parse(await bodyOf(request));
    invocations.push({ path: request.url ?? '', type: request.headers['x-amz-invocation-type'], event });
    answer(response, status, {});
  });
  process.env.AWS_ENDPOINT_URL_LAMBDA = served.url;
  return Object.assign(served, { invocations });
}
