/** A wrong option or a command that failed: the operator sees the message without a stack. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}
