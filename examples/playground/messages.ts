// What the page and its worker say to one another.

export type Device = "cpu" | "gpu";

/** A test image that is shown with what the network makes of it. Pixels in [0, 1], row by row. */
export interface Sample {
  readonly pixels: Float32Array;
  readonly label: number;
}

export type ToWorker =
  | {
      readonly type: "start";
      /** Comes back with every report, so that late ones of an older run are told apart. */
      readonly run: number;
      readonly head: string;
      readonly device: Device;
      readonly pace: number;
    }
  | { readonly type: "pause" | "resume" | "stop" }
  /** Steps a second at most. */
  | { readonly type: "pace"; readonly pace: number };

/** How a run stands. */
export interface Report {
  readonly run: number;
  readonly step: number;
  readonly epoch: number;
  readonly epochs: number;
  /** The mean loss of the steps that were read since the last report; undefined where none was. */
  readonly loss: number | undefined;
  /** On the test set: the share of right answers, 0 … 1, and the classes of probability above zero on average. */
  readonly accuracy: number;
  readonly meanSupport: number;
  /** Steps in a second of computing, pauses not counted; undefined at the start. */
  readonly stepsPerSecond: number | undefined;
  /** The probabilities of the samples, [samples, classes] in row-major order. */
  readonly predictions: Float32Array;
}

export type FromWorker =
  | {
      readonly type: "ready";
      readonly samples: readonly Sample[];
      readonly train: number;
      readonly test: number;
      /** Why there is no GPU, in the library's words; undefined where there is one. */
      readonly noGpu: string | undefined;
    }
  | ({ readonly type: "report"; readonly finished: boolean } & Report)
  | { readonly type: "failed"; readonly run: number; readonly message: string };
