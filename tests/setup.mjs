// Brings what the tests need from the system. It installs nothing today: it checks and says so.
// The npm packages come with `npm ci`, not from here.
const [major] = process.versions.node.split(".").map(Number);
if (major < 20) {
  console.error(`setup: Node ${process.versions.node} is too old; the tests need Node 20 or later.`);
  process.exit(1);
}
console.log(`setup: Node ${process.versions.node} is fine. The tests need nothing else from the system yet.`);
