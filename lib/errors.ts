import { bounded } from './bounded.ts';

/**
 * Every error a run can end with. `name` and `code` are stable and listed in infra/README.md; the message says which
 * operation failed on what, never contains a secret, and is at most 2,000 bytes long, whatever it quotes.
 */
export abstract class SolotickError extends Error {
  abstract override readonly name: string;
  abstract readonly code: string;

  constructor(message = '', options?: ErrorOptions) {
    super(bounded(message), options);
  }
}

/** The name is written out, because a bundler may rename the class. */
const named = <N extends string, C extends string>(name: N, code: C) =>
  class extends SolotickError {
    override readonly name = name;
    override readonly code = code;
  };

/** Settings are missing or malformed; the message lists all of them by name. */
export class SettingsError extends named('SettingsError', 'SETTINGS') {}

/** A job's file says what cannot be; the message names the file and the key. Nothing was locked or written. */
export class JobError extends named('JobError', 'JOB') {}

/** The event has no known shape; nothing was read, locked or written. */
export class EventError extends named('EventError', 'EVENT') {}

/** The secret could not be read or does not have the documented shape. */
export class SecretError extends named('SecretError', 'SECRET') {}

/** Source, target or etcd refused the credentials of the current secret. */
export class CredentialsError extends named('CredentialsError', 'CREDENTIALS') {}

/** The token server of source or target did not answer, or with something that is no token. */
export class TokenError extends named('TokenError', 'TOKEN') {}

/** No etcd endpoint answered in time, or etcd answered with an error. Never a skip: whether the lock is free is unknown. */
export class LockServiceError extends named('LockServiceError', 'LOCK_SERVICE') {}

/** The lease may have expired, was revoked, or our key is gone: another run may hold the lock now. */
export class LockLostError extends named('LockLostError', 'LOCK_LOST') {}

/** The target has seen a higher fencing token and we no longer hold the lock: a later run has taken over. */
export class SupersededError extends named('SupersededError', 'SUPERSEDED') {}

/** The target has seen a higher fencing token although we hold the lock: etcd's revisions went back (a restored snapshot). */
export class FenceAheadError extends named('FenceAheadError', 'FENCE_AHEAD') {}

/** The source, or a target that is listed, did not answer, or with something that is not a page of the declared shape. */
export class SourceError extends named('SourceError', 'SOURCE') {
  /** HTTP status of the last answer, where that was the reason. */
  readonly status: number | undefined;
  /** Whether only the cursor is to blame, so that the list can be read from its beginning. */
  readonly cursorRefused: boolean;

  constructor(message: string, options?: ErrorOptions & { status?: number; cursorRefused?: boolean }) {
    super(message, options);
    this.status = options?.status;
    this.cursorRefused = options?.cursorRefused ?? false;
  }
}

/** A write failed for good: the target refused the record, or all attempts failed. */
export class TargetError extends named('TargetError', 'TARGET') {
  /** HTTP status of the last answer, where there was one. */
  readonly status: number | undefined;
  /** Whether the record is to blame and not the state of the target. */
  readonly refused: boolean;

  constructor(message: string, options?: ErrorOptions & { status?: number; refused?: boolean }) {
    super(message, options);
    this.status = options?.status;
    this.refused = options?.refused ?? false;
  }
}

/** What etcd holds under the state prefix is not what this version writes there. */
export class StateError extends named('StateError', 'STATE') {}

/** `FAILURES_BEFORE_STOP` records in a row failed: the target must be down, and these records are read again. */
export class TargetDownError extends named('TargetDownError', 'TARGET_DOWN') {}

/** The target refused every record that this run asked it to write; they are read again. */
export class TargetRefusedError extends named('TargetRefusedError', 'TARGET_REFUSED') {}

/** The run reached its deadline before it settled a page or a record, so another run would get no further. */
export class NoProgressError extends named('NoProgressError', 'NO_PROGRESS') {}

/** Our own function could not be invoked asynchronously, so a detached backfill does not go on by itself. */
export class InvokeError extends named('InvokeError', 'INVOKE') {}

/** `yielded`: a backfill makes way for a tick that found the lock held. `cancelled`: a detached backfill was asked to end. */
type InterruptedBy = 'deadline' | 'throttled' | 'yielded' | 'cancelled';

/**
 * The run stops half-way and nobody is to blame; the records that it did not finish are unsettled, not failed. A run that
 * holds the lock then ends as partial; one without it throws this.
 */
export class Interrupted extends named('Interrupted', 'INTERRUPTED') {
  readonly reason: InterruptedBy;
  /** Until when a server wants to be left alone, in ms since 1970, where it says so and waiting for it would take long. */
  readonly notBeforeMs: number | undefined;

  constructor(reason: InterruptedBy, message: string, options?: { notBeforeMs?: number | undefined }) {
    super(message);
    this.reason = reason;
    this.notBeforeMs = options?.notBeforeMs;
  }
}

/** No complete answer arrived. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  /** Whether the same request may succeed later. */
  readonly transient: boolean;

  constructor(message: string, transient: boolean, options?: ErrorOptions) {
    super(bounded(message), options);
    this.transient = transient;
  }
}
