/** What the recorded rows (contracts/tables) do not hold. */
import { expect, test } from "vitest";
import { normalise, type WhatsAppUpdate } from "./normalise.ts";

const NOW = Date.UTC(2026, 2, 2, 9, 0, 5);
const phones = new Map([["999", "15550001"]]);

const of = (over: Partial<WhatsAppUpdate>) =>
  normalise(
    { key: { id: "A1", remoteJid: "fam@g.us", participant: "1@s.whatsapp.net" }, message: { conversation: "hi" }, ...over },
    { now: NOW, phoneOf: (lid) => phones.get(lid) },
  );

test("a hidden number nobody knows the phone of stays as it is, and so does an address that only looks like one", () => {
  for (const remoteJid of ["123@lid", "123:4@lid", "999@lid.example", "999@g.us", "x@999@lid"]) {
    expect(of({ key: { id: "A1", remoteJid } })?.chat).toBe(remoteJid);
  }
  expect(of({ key: { id: "A1", remoteJid: "999:12@lid" } })?.chat).toBe("15550001@s.whatsapp.net");
});

test("a time is read from a number, its digits or a 64-bit integer", () => {
  for (const messageTimestamp of [
    1_772_442_000,
    "1772442000",
    1_772_442_000n,
    { low: 1_772_442_000, high: 0, toString: () => "1772442000" },
  ]) {
    expect(of({ messageTimestamp })?.timestamp).toBe("2026-03-02T09:00:00.000Z");
  }
});

test("a message without a time, or with one that no calendar holds, gets the time it arrived", () => {
  for (const messageTimestamp of [undefined, null, "", "soon", Number.NaN, Infinity, 1e15, -1e15, "99999999999999999999"]) {
    expect(of({ messageTimestamp })?.timestamp).toBe("2026-03-02T09:00:05.000Z");
  }
});

test("fields that are there and null count as absent", () => {
  const update = { key: { id: null, remoteJid: "fam@g.us", participant: null, fromMe: null }, pushName: null };
  const message = { conversation: null, extendedTextMessage: null, imageMessage: { caption: null }, videoMessage: { caption: "v" } };
  expect(of({ ...update, message })).toMatchObject({ id: "", sender: "fam@g.us", senderName: "fam", text: "v", isFromMe: false });
});
