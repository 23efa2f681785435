import type { Control } from '../../lib/event.ts';
import { Refusal } from '../terminal/refusal.ts';
import { RESETTABLE } from './commands.ts';
import { readInstant, wholeNumber } from './options.ts';

/** The options of the commands that change the state, as osls passes them on. */
export interface ControlOptions {
  note?: string;
  what?: string;
  to?: string;
  'up-to'?: string;
}

/** @throws Refusal that names the wrong option */
export function pauseOf({ note }: ControlOptions): Control {
  if (note !== undefined && note.length > 500) throw new Refusal('--note has at most 500 characters');
  return { action: 'pause', note };
}

/** @throws Refusal that names the wrong option */
export function resetOf({ what: name = '', to }: ControlOptions): Control {
  const what = RESETTABLE.find((part) => part === name);
  if (!what) throw new Refusal(`--what "${name}" must be one of ${RESETTABLE.join(', ')}`);
  if (to !== undefined && what !== 'watermark') throw new Refusal('--to belongs to --what watermark');
  return { action: 'reset', what, ...(to !== undefined && { to: readInstant('to', to) }) };
}

/** @throws Refusal that names the wrong option */
export const approvalOf = ({ 'up-to': upTo = '' }: ControlOptions): Control => ({
  action: 'approve-removals',
  upTo: wholeNumber('up-to', upTo, 0, 999_999_999),
});
