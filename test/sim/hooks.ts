import { registerHooks } from 'node:module';
import { replaceGlobals } from './globals.ts';

/** What `lib` gets from the simulated world instead of from the outside one. */
const INSTEAD: Record<string, string> = {
  'node:crypto': 'crypto',
  'node:timers/promises': 'timers-promises',
  'lib/http/client.ts': 'http-client',
  'lib/lock/endpoint.ts': 'etcd-endpoint',
  'lib/lock/session.ts': 'session',
  '@aws-sdk/client-lambda': 'client-lambda',
  '@aws-sdk/client-sqs': 'client-sqs',
};

const ROOT = new URL('../../', import.meta.url).href;

/** Imported before anything of `lib`. Only what `lib` imports is replaced; tests still get the real modules. */
registerHooks({
  resolve(specifier, context, nextResolve) {
    const { parentURL } = context;
    // A query makes another instance of a module of lib, and asks for the real things.
    if (!parentURL?.startsWith(`${ROOT}lib/`) || parentURL.includes('?')) return nextResolve(specifier, context);
    const wanted = specifier.startsWith('.') ? new URL(specifier, parentURL).href.slice(ROOT.length) : specifier;
    const instead = INSTEAD[wanted];
    return instead === undefined
      ? nextResolve(specifier, context)
      : nextResolve(`./instead/${instead}.ts`, { ...context, parentURL: import.meta.url });
  },
});

replaceGlobals();
