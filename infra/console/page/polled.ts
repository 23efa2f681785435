import { useEffect, useRef, useState } from 'preact/hooks';
import type { Answer } from '../api.ts';

const VISIBLE_MS = 2000;
const HIDDEN_MS = 30_000;
/** The console's process answers within its own deadline, which is shorter. */
const PATIENCE_MS = 40_000;

export interface Polled {
  answer?: Answer;
  /** When the answer was received. */
  receivedMs?: number;
  /** Why there is no newer answer. */
  failure?: string;
  /** Asks at once. */
  refresh(): void;
}

/** Asks the console's process again and again: often while somebody looks, at once when the page or the network comes back. */
export function usePolled(): Polled {
  const [state, setState] = useState<Omit<Polled, 'refresh'>>({});
  const ask = useRef(() => {});
  useEffect(() => {
    let timer: number | undefined;
    let current: AbortController | undefined;

    ask.current = async () => {
      clearTimeout(timer);
      // What was asked before a sleep may never be answered.
      current?.abort();
      const own = new AbortController();
      current = own;
      const signal = AbortSignal.any([own.signal, AbortSignal.timeout(PATIENCE_MS)]);
      const next = await fetchAnswer(signal);
      if (own !== current) return;
      setState((before) => ({ ...before, failure: undefined, ...next }) as Polled);
      timer = window.setTimeout(() => ask.current(), document.hidden ? HIDDEN_MS : VISIBLE_MS);
    };
    const again = () => ask.current();
    const events = [
      [document, 'visibilitychange'],
      [window, 'online'],
      [window, 'pageshow'],
    ] as const;
    for (const [target, event] of events) target.addEventListener(event, again);
    again();
    return () => {
      clearTimeout(timer);
      current?.abort();
      for (const [target, event] of events) target.removeEventListener(event, again);
    };
  }, []);
  return { ...state, refresh: () => ask.current() };
}

async function fetchAnswer(signal: AbortSignal): Promise<Pick<Polled, 'answer' | 'receivedMs'> | { failure: string }> {
  try {
    const response = await fetch('api/jobs', { signal });
    if (!response.ok)
      return { failure: `The console answered with status ${response.status}. Start it again if it stays so.` };
    return { answer: await response.json(), receivedMs: Date.now() };
  } catch {
    return {
      failure:
        'The console on this machine does not answer. Start "serverless console" or "npm run dev" again, and open the address ' +
        'that it prints.',
    };
  }
}

/** The time, again each second. */
export function useNow(): number {
  const [nowMs, setNowMs] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return nowMs;
}
