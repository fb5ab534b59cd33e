// Every loss.

export * from "./features.ts";
export * from "./scores.ts";
