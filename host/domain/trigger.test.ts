import { describe, expect, test } from "vitest";
import { startsTurn } from "./trigger.ts";

const fam = { chat: "fam@g.us", name: "Fam", folder: "fam", trigger: "@Andy", requiresTrigger: true };
const main = { ...fam, folder: "main" };

describe("a turn starts", () => {
  test.each([
    ["a group's own word, and no longer the assistant's name", { ...fam, trigger: "@Rob" }, ["@Rob hi"], true],
    ["the assistant's name where the group has a word of its own", { ...fam, trigger: "@Rob" }, ["@Andy hi"], false],
    ["the assistant's name where the group's word is blank", { ...fam, trigger: " " }, ["@Andy hi"], true],
    ["one matching message among many", fam, ["so", "@andy?", "hm"], true],
    ["a word that only begins with the trigger", fam, ["@Andyé"], false],
    ["anything said in main, whatever its row says", main, ["hi"], true],
    ["anything said where no trigger is needed", { ...fam, requiresTrigger: false }, ["hi"], true],
    ["a voice note in main", main, ["", "  \n"], false],
    ["a voice note where no trigger is needed", { ...fam, requiresTrigger: false }, [""], false],
    ["nothing at all", main, [], false],
  ])("by %s: %#", (_what, group, texts, starts) => {
    expect(startsTurn(group, texts, "Andy")).toBe(starts);
  });
});
