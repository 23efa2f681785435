import { bounded } from '../../lib/bounded.ts';

/** The most bytes of one fault, so that a long one does not hide the others. */
const MAX_FAULT_BYTES = 500;

/** A stage cannot be deployed or run as its file, a job's file or serverless.yml says; the message names file and keys. */
export class StageError extends Error {
  override readonly name = 'StageError';
  readonly code = 'STAGE';

  constructor(file: string, faults: readonly string[], options?: ErrorOptions) {
    super(bounded(`${file} is invalid: ${faults.map((fault) => bounded(fault, MAX_FAULT_BYTES)).join('; ')}`), options);
  }
}
