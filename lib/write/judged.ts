import type { HttpAnswer, HttpRequest } from '../http/client.ts';
import { answerOf, verdictOf } from '../http/verdict.ts';
import type { TargetJob } from '../job-types.ts';

const VERDICTS = ['written', 'retry', 'refused', 'fenced'] as const;
type Verdict = (typeof VERDICTS)[number];

/** An answer, and what the job's check says about it. */
export interface Judged extends HttpAnswer {
  verdict?: Verdict | undefined;
}

/** Asks the job's check about each answer, where the job has one. @param maxBytes the most that it can see of a body */
export function judging<R>(
  http: { send(request: HttpRequest): Promise<HttpAnswer> },
  job: Pick<TargetJob<R>, 'check'>,
  maxBytes: number,
): { send(request: HttpRequest): Promise<Judged> } {
  if (!job.check) return http;
  return {
    async send(request) {
      const answer = await http.send(request);
      const verdict = verdictOf((seen) => job.check?.(seen), answerOf(answer, maxBytes), VERDICTS);
      return { ...answer, verdict };
    },
  };
}

/** Whether there is nothing to remove. */
export const isNothingThere = (status: number): boolean => status === 404 || status === 410;

/** What an answer means by its status; undefined where it is refused, now or for good. @param removes the record is to go */
export function verdictOfStatus(status: number, removes: boolean): Verdict | undefined {
  if (status === 412) return 'fenced';
  if (removes && isNothingThere(status)) return 'written';
  return status >= 200 && status <= 299 ? 'written' : undefined;
}
