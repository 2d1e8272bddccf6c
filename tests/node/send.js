// node send.js PORT implicit|starttls CA HOST PASSWORD ENVELOPE_FROM HEADER_FROM SUBJECT
const fs = require("fs");
const nodemailer = require("nodemailer");

const [port, tls, ca, host, pass, from, header, subject] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host,
  port: Number(port),
  secure: tls === "implicit",
  requireTLS: true,
  auth: { user: "me@example.test", pass },
  tls: { ca: fs.readFileSync(ca), servername: "mx.example.test" },
});
transport
  .sendMail({ from: header, to: "you@foreign.test", subject, text: "from nodemailer", envelope: { from, to: "you@foreign.test" } })
  .then((sent) => console.log(sent.response))
  .catch((error) => {
    console.log(error.response || String(error));
    process.exit(1);
  });
