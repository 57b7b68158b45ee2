/**
 * The stand-in's own time in whole seconds: the given one plus what it was advanced by. While due things happen it stands
 * still at the moment at which each of them was due.
 */
export class Clock {
  private ahead = 0;
  private standing: number | undefined;

  constructor(private readonly source: () => Date) {}

  now(): number {
    return this.standing ?? Math.floor(this.source().getTime() / 1000) + this.ahead;
  }

  advance(seconds: number): void {
    this.ahead += seconds;
  }

  /** Runs `work` at a moment of the past or future. */
  at(moment: number, work: () => void): void {
    const before = this.standing;
    this.standing = moment;
    try {
      work();
    } finally {
      this.standing = before;
    }
  }
}
