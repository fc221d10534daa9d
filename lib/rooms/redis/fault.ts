/** Whether somebody has to do something before there can be a connection. */
export class EngineFault extends Error {
  override name = "EngineFault";
  /** Nothing changes by waiting. */
  readonly final: boolean;

  constructor(message: string, final: boolean) {
    super(message);
    this.final = final;
  }
}
