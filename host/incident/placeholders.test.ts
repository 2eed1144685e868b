import { describe, expect, test } from "vitest";
import { startsTurn } from "../domain/trigger.ts";
import { visibleReply } from "../domain/reply.ts";
import { Placeholders } from "./placeholders.ts";

const disguise = (): Placeholders =>
  new Placeholders({ triggers: ["@Andy", "@Zoë"], redact: (text) => text, machine: { "/home/ada/.hermit": "<home>" } });

describe("a text", () => {
  test("is told by its number and size; the same text is the same everywhere", () => {
    const as = disguise();
    expect([as.text("dinner at 8 🍲"), as.text("no"), as.text("dinner at 8 🍲")]).toEqual([
      "text 1, 16 bytes",
      "text 2, 2 bytes",
      "text 1, 16 bytes",
    ]);
  });

  test.each(["", "  ", "\n"])("of nothing but space (%j) stays", (text) => {
    expect(disguise().text(text)).toBe(text);
  });

  test.each(["@Andy what is it?", " @andy, what is it?", "@ANDY", "@Andyman knows", "ask @Andy", "@zoë!", "hello"])(
    "wakes the group, or does not, as it did: %j",
    (text) => {
      for (const trigger of ["@Andy", "@Zoë"]) {
        const group = { chat: "c", name: "n", folder: "f", trigger, requiresTrigger: true };
        expect(startsTurn(group, [disguise().text(text)], "Andy")).toBe(startsTurn(group, [text], "Andy"));
      }
    },
  );

  test("shows what would be sent of it: what is between the marks is hidden by itself", () => {
    const as = disguise();
    const hidden = as.text(" <internal>she does\nnot know</internal> Happy birthday <internal>!</internal> ");
    expect(hidden).toBe(" <internal>text 1, 17 bytes</internal> text 2, 14 bytes <internal>text 3, 1 bytes</internal> ");
    expect(as.text("Happy birthday")).toBe(visibleReply(hidden));
  });

  test("said around the marks is one when it is sent", () => {
    const as = disguise();
    const hidden = as.text("Happy <internal>x</internal>birthday");
    expect(as.text(visibleReply("Happy <internal>x</internal>birthday"))).toBe(visibleReply(hidden));
  });
});

test("chats keep their platform, main stays main, and a person of a private chat is that chat", () => {
  const as = disguise();
  expect(as.chat("491701234567@s.whatsapp.net")).toBe("chat-1@s.whatsapp.net");
  expect(as.person("491701234567@s.whatsapp.net")).toBe("chat-1@s.whatsapp.net");
  expect([as.chat("console:main"), as.chat("console:family")]).toEqual(["console:main", "console:chat-2"]);
  expect([as.folder("main"), as.folder("family")]).toEqual(["main", "group-1"]);
  expect([as.person("Ada"), as.person("Bo"), as.person("Ada")]).toEqual(["name 1", "name 2", "name 1"]);
});

test("ids a host made stay, those of platforms and people go", () => {
  const as = disguise();
  expect(as.id("task-1767225600000-0abc12", "task")).toBe("task-1767225600000-0abc12");
  expect(as.id("9f1e7a60-6f6c-4f5e-9d39-0f6f0a1b2c3d", "session")).toBe("9f1e7a60-6f6c-4f5e-9d39-0f6f0a1b2c3d");
  expect([as.id("dentist-for-leo", "task"), as.id("dentist-for-leo", "message")]).toEqual(["task-1", "message-1"]);
});

test("an error keeps its words but for what is hidden elsewhere", () => {
  const as = disguise();
  as.text("the doctor's letter");
  as.person("Ada");
  as.chat("491701234567@s.whatsapp.net");
  as.folder("family");
  expect(
    as.kept(
      "No channel serves 491701234567@s.whatsapp.net (family, in /home/ada/.hermit/groups/family): “the doctor's letter” of Ada, Adam and 49171@lid",
    ),
  ).toBe("No channel serves chat-1@s.whatsapp.net (group-1, in <home>/groups/group-1): “text 1, 19 bytes” of name 1, Adam and chat-2@lid");
});
