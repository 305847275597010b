// A key-value store: many commands under way at once, each executed once, read where it suits.
//   kv DIR
#include <duramen/machines.h>
#include <duramen/system.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>

namespace {

using duramen::Kv;

[[noreturn]] void Fail(const duramen::Error& error) {
  std::cerr << error.message << (error.hint.empty() ? "" : "; ") << error.hint << "\n";
  std::exit(1);
}

duramen::Deadline Soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(30);
}

duramen::Bytes Text(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) Fail({duramen::ErrorCode::kInvalidArgument, "usage: kv DIR", ""});
  duramen::SystemOptions options;
  options.storage.data_dir = argv[1];
  options.storage.wal_max_size_bytes = 4 << 20;
  options.machines = {duramen::KvMachine()};
  auto system = duramen::System::Open(options);
  if (!system) Fail(system.error());
  if (auto begun = system->StartOrRestartCluster({.name = "scores", .machine = "kv"}, Soon());
      !begun) {
    Fail(begun.error());
  }
  // A session: whatever is sent again with the same sequence has run once.
  const auto session = system->OpenSession("scores", Soon());
  if (!session) Fail(session.error());
  duramen::Client client = system->NewClient();
  constexpr std::uint64_t kKeys = 50;
  for (std::uint64_t key = 1; key <= kKeys; ++key) {
    const std::string put = Kv::Put("player " + std::to_string(key), std::to_string(key * key));
    const duramen::InSession place{.session = *session, .sequence = key};
    if (auto sent = client.Send("scores", key, Text(put), {.place = place}); !sent)
      Fail(sent.error());
  }
  duramen::Token newest;
  for (std::uint64_t answered = 0; answered < kKeys;) {
    if (auto waited = client.Wait(Soon()); !waited) Fail(waited.error());
    for (const duramen::Outcome& outcome : client.Poll()) {
      if (outcome.error) Fail(*outcome.error);
      if (outcome.index > newest.index) newest = {outcome.index, outcome.term};
      ++answered;
    }
  }
  // What was written here is seen here, without asking anybody else.
  const auto score = system->Query("scores", Text(Kv::Get("player 7")),
                                   {duramen::Consistency::kLocal, newest}, Soon());
  if (!score) Fail(score.error());
  const auto size = system->Query("scores", Text(Kv::Size()), duramen::Consistency::kConsistent,
                                  Soon());
  if (!size) Fail(size.error());
  std::cout << *score << ", one of " << *size << "\n";
}
