import type { Action } from '../action.ts';
import type { Operation } from '../api.ts';

/** Asks the console's process to act. @returns what came of it so far, or why it was not begun */
export async function send(job: string, action: Action): Promise<Operation | { fault: string }> {
  try {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch('api/actions', { method: 'POST', headers, body: JSON.stringify({ job, action }) });
    const answer = await response.json();
    return response.ok ? answer : { fault: `It was not begun: ${answer.message}` };
  } catch {
    return { fault: 'The console on this machine does not answer, so it is not known whether it was begun.' };
  }
}
