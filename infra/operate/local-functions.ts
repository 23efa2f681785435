import { readAnnouncement } from '../terminal/announce.ts';
import { connect, type Functions } from './functions.ts';
import { Refusal } from './refusal.ts';

/**
 * Connects to the functions of the `npm run dev` that runs in `folder`.
 * @param stage must be that of `npm run dev`, if it is given
 * @throws Refusal
 */
export async function connectLocal(folder: string, stage: string | undefined): Promise<Functions> {
  const running = readAnnouncement(folder);
  if (!running) throw new Refusal('npm run dev is not running; --local invokes the functions that it starts');
  if (stage !== undefined && stage !== running.stage)
    throw new Refusal(`npm run dev is running stage ${running.stage}, not ${stage}`);
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const functions = await connect({ endpoint: running.url, region: 'us-east-1', credentials }, (name) => name);
  const explain = (error: Error): never => {
    const { code } = (error.cause ?? {}) as { code?: string };
    throw code === 'ECONNREFUSED' ? new Refusal('npm run dev is not running any more', { cause: error }) : error;
  };
  return {
    backfill: (event) => functions.backfill(event).catch(explain),
    control: (event) => functions.control(event).catch(explain),
  };
}
