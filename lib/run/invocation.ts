import type { Log } from '../log.ts';
import type { Settings } from '../settings/config.ts';
import type { SecretStore } from '../settings/secrets.ts';
import type { Chain } from './detached/chain.ts';
import type { ReportMetrics } from './metrics.ts';

/** What one invocation of a function brings along. */
export interface Invocation {
  settings: Settings;
  secrets: SecretStore;
  log: Log;
  requestId: string;
  functionName: string;
  /** Until Lambda ends the invocation. */
  remainingMs: number;
  /** Aborts when the process is asked to end. */
  stop: AbortSignal;
  /** Where the run is a step of a detached backfill. */
  chain?: Chain;
  /** Receives how the run ended, unless it is a rehearsal. */
  metrics?: ReportMetrics;
}
