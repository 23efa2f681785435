/** What a mark stands for. */
export type Sign =
  | 'completed'
  | 'partial'
  | 'failed'
  | 'running'
  | 'waiting'
  | 'paused'
  | 'failing'
  | 'unknown'
  | 'skipped';

const LINES: Partial<Record<Sign, string>> = {
  completed: 'M3.5 8.5l3 3 6-7',
  partial: 'M8 2.5a5.5 5.5 0 0 0 0 11',
  failed: 'M4 4l8 8M12 4l-8 8',
  waiting: 'M8 2.5a5.5 5.5 0 1 0 .01 0M8 5v3l2 2',
  paused: 'M5.5 3.5v9M10.5 3.5v9',
  failing: 'M8 2L1.8 13.2h12.4zM8 6.5v3M8 11.4v.2',
  unknown: 'M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6M8 12v.2',
  skipped: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
};

const SURFACES: Partial<Record<Sign, string>> = { partial: 'M8 2.5a5.5 5.5 0 0 1 0 11z', running: 'M5 3v10l8-5z' };

/** A sign beside a word or a bar, so that no meaning lies in the colour alone. */
export const Mark = ({ sign, pulse = false }: { sign: Sign; pulse?: boolean }) => (
  <svg class={pulse ? 'mark pulse' : 'mark'} viewBox="0 0 16 16" aria-hidden="true">
    {SURFACES[sign] && <path d={SURFACES[sign]} fill="currentcolor" />}
    {LINES[sign] && <path d={LINES[sign]} />}
  </svg>
);
