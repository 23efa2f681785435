import * as v from 'valibot';
import { bounded, listFaults } from '../bounded.ts';
import { StateError } from '../errors.ts';
import type { Put } from '../lock/mutex.ts';
import type { KeyValue } from '../lock/query.ts';

/** The operation that stores a value as JSON. */
export const putValue = (key: string, value: unknown): Put => ({
  request_put: { key: Buffer.from(key), value: Buffer.from(JSON.stringify(value)) },
});

/** The most bytes of a key and of what is wrong with its value, so that a message has room for both and what to do. */
const [MAX_KEY_BYTES, MAX_FAULTS_BYTES] = [1000, 800];

/** What a value says that is only good to know: one that cannot be understood says nothing, and no run ends for that. */
export function readableValue<T>(found: KeyValue, schema: v.GenericSchema<unknown, T>): T | undefined {
  try {
    return decodeValue(found, schema);
  } catch (error) {
    if (error instanceof StateError) return undefined;
    throw error;
  }
}

/** @throws StateError that names the key */
export function decodeValue<T>(found: KeyValue, schema: v.GenericSchema<unknown, T>): T {
  const key = bounded(found.key.toString(), MAX_KEY_BYTES);
  let value: unknown;
  try {
    value = JSON.parse(found.value.toString());
  } catch (cause) {
    throw new StateError(`etcd key ${key} does not hold JSON; delete the key to start afresh`, { cause });
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const faults = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'the value'}: ${issue.message}`);
  throw new StateError(
    `etcd key ${key} holds no valid state (${bounded(listFaults(faults), MAX_FAULTS_BYTES)}); delete the key to start afresh`,
  );
}
