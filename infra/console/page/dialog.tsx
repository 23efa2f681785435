import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Action } from '../action.ts';
import { send } from './send.ts';

interface Props {
  job: string;
  title: string;
  /** What will happen, in a plain sentence. */
  sentence: string;
  /** The name of the button that does it. */
  verb: string;
  /** The action, or why it cannot be asked for yet. */
  action(): Action | string;
  close(): void;
  /** Says what came of it. */
  told(text: string): void;
  children?: ComponentChildren;
}

/** Asks before something is done: the browser's own dialog keeps the keyboard inside, and Escape closes it. */
export function Confirm({ job, title, sentence, verb, action, close, told, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [fault, setFault] = useState('');
  const [busy, setBusy] = useState(false);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => opener?.focus();
  }, []);

  async function confirm(event: Event) {
    event.preventDefault();
    const asked = action();
    if (typeof asked === 'string') return setFault(asked);
    setBusy(true);
    const answer = await send(job, asked);
    setBusy(false);
    if ('fault' in answer) return setFault(answer.fault);
    told('');
    close();
  }

  return (
    <dialog ref={dialog} aria-labelledby={`${id}-title`} aria-describedby={`${id}-what`} onClose={close}>
      <form onSubmit={confirm}>
        <h3 id={`${id}-title`}>{title}</h3>
        <p id={`${id}-what`}>{sentence}</p>
        {children}
        <p class="fault" role="alert">
          {fault}
        </p>
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {busy ? 'Asking…' : verb}
          </button>
        </div>
      </form>
    </dialog>
  );
}
