import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { guard } from '../guard.ts';

export interface EtcdNode {
  readonly endpoint: string;
  readonly pid: number;
  /** Sends the signal. Waits for the end of the process, unless the signal is SIGSTOP or SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Kills the node if it runs, and starts it again on its ports and data. Resolves once it is healthy. */
  restart(): Promise<void>;
}

/** How to run one node. */
export interface NodePlan {
  etcd: string;
  args: string[];
  endpoint: string;
  /** Answers without TLS and without a user. */
  healthUrl: string;
  /** The folder to remove if this process is killed; none if empty. */
  scratch: string;
}

/** Another process has taken a port since it was found free. */
export class PortTakenError extends Error {}

const HEALTH_TIMEOUT_MS = 20_000;

/** Makes a node, which does not run until `restart`. */
export function createNode({ etcd, args, endpoint, healthUrl, scratch }: NodePlan): EtcdNode {
  let child: ChildProcess | undefined;
  let complaints = '';

  async function kill(signal: NodeJS.Signals = 'SIGKILL') {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await ended;
  }

  async function waitForHealth(started: ChildProcess) {
    const deadlineMs = performance.now() + HEALTH_TIMEOUT_MS;
    while (performance.now() < deadlineMs) {
      if (started.exitCode !== null || started.signalCode !== null) {
        if (/address already in use/.test(complaints)) throw new PortTakenError(`a port of ${endpoint} is taken`);
        throw new Error(`etcd ended by itself (${started.signalCode ?? started.exitCode}):\n${complaints}`);
      }
      const healthy = await fetch(`${healthUrl}/health`, { signal: AbortSignal.timeout(1000) }).then(
        async (response) => (await response.text()).includes('true'),
        () => false,
      );
      if (healthy) return;
      await sleep(50);
    }
    throw new Error(`etcd at ${endpoint} was not healthy within ${HEALTH_TIMEOUT_MS} ms:\n${complaints}`);
  }

  return {
    endpoint,
    get pid() {
      return child?.pid ?? 0;
    },
    kill,
    async restart() {
      await kill();
      complaints = '';
      // Detached: Ctrl-C in the terminal must not end etcd before its clients.
      const started = spawn(etcd, args, { stdio: ['ignore', 'ignore', 'pipe'], env: cleanEnv(), detached: true });
      child = started;
      started.stderr.setEncoding('utf8').on('data', (text) => {
        complaints = (complaints + text).slice(-4000);
      });
      await once(started, 'spawn');
      const endGuard = guard(started.pid!, scratch);
      started.once('exit', endGuard);
      await waitForHealth(started);
    },
  };
}

/** The environment without ETCD_ and ETCDCTL_ variables, which etcd and etcdctl would take for their own settings. */
export function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name)));
}
