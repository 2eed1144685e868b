export type { ScriptStep } from "./script.ts";
export { createScriptedModel } from "./scripted-model.ts";
