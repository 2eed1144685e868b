/** Texts in and out: the prompt, the trigger, what of a reply is shown. */
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { formatMessages } from "../../host/domain/prompt.ts";
import { signedReply, visibleReply } from "../../host/domain/reply.ts";
import { startsTurn } from "../../host/domain/trigger.ts";
import { readTable, wrongRows } from "./table.ts";

const promptFormat = readTable("prompt-format", {
  in: z.strictObject({
    messages: z.array(z.strictObject({ sender_name: z.string(), timestamp: z.string(), content: z.string() })),
  }),
  out: z.strictObject({ prompt: z.string() }),
});

const trigger = readTable("trigger", {
  in: z.strictObject({ assistantName: z.string(), content: z.string() }),
  out: z.strictObject({ trigger: z.boolean() }),
});

const outbound = readTable("outbound-text", {
  in: z.strictObject({ raw: z.string(), channelPrefix: z.boolean().default(true) }),
  out: z.strictObject({ text: z.string().nullable() }),
});

describe("recorded rows of", () => {
  test("the prompt's form hold byte for byte", () => {
    expect(
      wrongRows(promptFormat, ({ messages }) => ({
        prompt: formatMessages(
          messages.map(({ sender_name, timestamp, content }) => ({ senderName: sender_name, timestamp, text: content })),
        ),
      })),
    ).toEqual([]);
  });

  test("the trigger hold, with word boundaries corrected for every alphabet", () => {
    const group = { chat: "fam@g.us", name: "Fam", folder: "fam", requiresTrigger: true };
    expect(
      wrongRows(trigger, ({ assistantName, content }) => ({
        trigger: startsTurn({ ...group, trigger: `@${assistantName}` }, [content], "somebody else"),
      })),
    ).toEqual([]);
  });

  test("outbound text hold: internal parts cut, the name in front where the channel wants it", () => {
    expect(
      wrongRows(outbound, ({ raw, channelPrefix }) => {
        const visible = visibleReply(raw);
        if (visible === "") return { text: null };
        return { text: channelPrefix ? signedReply(visible, "Andy") : visible };
      }),
    ).toEqual([]);
  });
});

test("a table that was changed by one byte is noticed", () => {
  const [row] = promptFormat.rows;
  if (row === undefined) throw new Error("the table is empty");
  const altered = { ...promptFormat, rows: [{ ...row, out: { prompt: `${row.out.prompt} ` } }] };
  expect(wrongRows(altered, () => row.out)).toEqual([expect.stringContaining(`${row.id} (keep, §3.5): wanted`)]);
});
