/** Joins the text deltas of one pass of the event loop: a fast model streams hundreds of tiny parts, people see the same. */
export class TextRelay {
  private held = "";
  private scheduled: NodeJS.Immediate | undefined;
  private readonly send: (delta: string) => void;
  constructor(send: (delta: string) => void) {
    this.send = send;
  }

  add(delta: string): void {
    this.held += delta;
    this.scheduled ??= setImmediate(() => this.flush());
  }

  /** Sends what is held, now. */
  flush(): void {
    clearImmediate(this.scheduled);
    this.scheduled = undefined;
    const delta = this.held;
    this.held = "";
    if (delta !== "") this.send(delta);
  }
}
