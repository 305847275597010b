#include "base/client_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/bytes.h"
#include "base/utf8.h"

namespace duramen {
namespace {

constexpr std::size_t kWords = sizeof(ClientRow) / 8;
constexpr std::size_t kFirstRow = sizeof(ClientTable) - ClientTable::kRows * sizeof(ClientRow);
using Words = std::array<std::uint64_t, kWords>;

constexpr auto kAttached = static_cast<std::uint64_t>(ClientState::kAttached);

ClientRecord RecordOf(const Words& words) {
  ClientRecord record{.ordinal = words[0],
                      .state = static_cast<ClientState>(words[1]),
                      .pid = words[2],
                      .uid = words[3],
                      .attached_ns = static_cast<std::int64_t>(words[4]),
                      .gone_ns = static_cast<std::int64_t>(words[5]),
                      .logs = words[6],
                      .logs_max = words[7],
                      .rings = words[8],
                      .rings_max = words[9],
                      .memory_bytes = words[10],
                      .memory_bytes_max = words[11],
                      .records = words[12],
                      .bytes = words[13],
                      .requests = words[14],
                      .refused = words[15],
                      .read_entries = words[16],
                      .reason = {}};
  char text[ClientRow::kReasonBytes];
  std::memcpy(text, &words[17], sizeof text);
  const std::string_view reason(text, ::strnlen(text, sizeof text));
  record.reason = IsUtf8(reason) ? std::string(reason) : "?";
  return record;
}

}  // namespace

const char* ClientStateName(ClientState state) noexcept {
  switch (state) {
    case ClientState::kNone:
      return "none";
    case ClientState::kAttached:
      return "attached";
    case ClientState::kLeft:
      return "left";
    case ClientState::kCutOff:
      return "cut off";
  }
  return "unknown";
}

void ClientRow::SetReason(std::string_view text) noexcept {
  std::size_t size = std::min(text.size(), kReasonBytes - 1);
  while (size > 0 && !IsUtf8(text.substr(0, size))) --size;  // Not within a character.
  std::array<std::uint64_t, kReasonBytes / 8> words{};
  std::memcpy(words.data(), text.data(), size);
  for (std::size_t i = 0; i < words.size(); ++i) reason[i].Publish(words[i]);
}

void ClientRow::GiveBack(ClientState as, std::int64_t now_ns) noexcept {
  gone_at.SetTime(now_ns);
  state.Publish(static_cast<std::uint64_t>(as));
}

ClientRow* ClientTable::Take(const ClientIdentity& identity) noexcept {
  ClientRow* row = nullptr;
  while (row == nullptr) {
    std::uint64_t state = kAttached;
    for (ClientRow& one : rows_) {
      const std::uint64_t its = one.state.value();
      if (its == kAttached || (row != nullptr && one.ordinal.value() >= row->ordinal.value())) {
        continue;
      }
      row = &one;
      state = its;
    }
    if (row == nullptr) return nullptr;
    if (!row->state.Exchange(state, kAttached)) row = nullptr;  // Another one was faster.
  }
  row->ordinal.Set(0);
  row->last.Set(0);
  for (Counter* word :
       {&row->gone_at, &row->logs, &row->logs_max, &row->rings, &row->rings_max,
        &row->memory_bytes, &row->memory_bytes_max, &row->records, &row->bytes, &row->requests,
        &row->refused, &row->read_entries}) {
    word->Publish(0);  // Behind the ordinal's: a reader takes no row that is half another's.
  }
  row->SetReason("");
  row->pid.Publish(identity.pid);
  row->uid.Publish(identity.uid);
  row->attached_at.Publish(static_cast<std::uint64_t>(identity.attached_ns));
  std::uint64_t taken = taken_.value();
  while (!taken_.Exchange(taken, taken + 1)) {
  }
  row->last.Publish(taken + 1);
  row->ordinal.Publish(taken + 1);
  return row;
}

std::vector<ClientRecord> ReadClients(Bytes bytes) {
  std::vector<ClientRecord> clients;
  for (std::size_t at = kFirstRow; at + sizeof(ClientRow) <= bytes.size();
       at += sizeof(ClientRow)) {
    Words words;
    std::memcpy(words.data(), bytes.data() + at, sizeof words);
    if (words[0] == 0 || words[0] != words[kWords - 1]) continue;
    if (words[1] < kAttached || words[1] > static_cast<std::uint64_t>(ClientState::kCutOff)) {
      continue;
    }
    clients.push_back(RecordOf(words));
  }
  std::ranges::sort(clients, {}, &ClientRecord::ordinal);
  return clients;
}

}  // namespace duramen
