export * from "./tensor/mod.ts";
