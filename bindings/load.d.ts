/** The addon that this thread loaded. */
export declare const loaded: {
  /** Its path. */
  readonly file: string;
  /** `built in this clone`, `package @ironsluice/linux-x64-gnu`, or `beside its loader`. */
  readonly from: string;
};
