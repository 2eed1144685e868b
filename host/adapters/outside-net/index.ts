export { createOutsideNet } from "./outside-net.ts";
