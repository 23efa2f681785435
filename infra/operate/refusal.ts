/** What an operator is told in a sentence and without a stack: a wrong option, or why a command came to nothing. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}
