export { type ScriptedModelOptions, createScriptedModel } from "./scripted-model.ts";
export type { Script, ScriptStep } from "./script.ts";
