// Follows a job through a proxy that breaks its event stream off; prints what arrived as JSON.
import { Twelvefold } from "@twelvefold/client";
import { fromFile } from "@twelvefold/client/node";

const [email, password] = [`ts.${crypto.randomUUID()}@example.com`, "correct horse battery staple"];
const direct = new Twelvefold(process.env["DIRECT"] ?? "");
await direct.api.POST("/api/v1/users", { body: { email, name: "Ada", password } });
const tokens = await direct.logIn(email, password);
const { job } = await direct.uploadImage(await fromFile(process.env["PICTURE"] ?? ""));
const shaken = new Twelvefold(process.env["API"] ?? "", { tokens, timeout: 5 });
const versions: number[] = [];
let status = "";
for await (const event of shaken.watchJob(job.id)) {
  versions.push(Number(event.id));
  status = event.job.status;
}
console.log(JSON.stringify({ versions, status }));
