#include "simulator/machine.h"

#include "base/bytes.h"
#include "base/check.h"

namespace duramen::simulator {

std::vector<std::byte> Encode(const Request& request) {
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(request.mark.client);
  writer.Put(request.mark.sequence);
  writer.Put(request.mark.acknowledged);
  writer.Put(static_cast<std::uint8_t>(request.act));
  writer.Put(request.key);
  writer.Put(request.value);
  writer.Put(request.expected);
  return bytes;
}

Request DecodeRequest(Bytes bytes) {
  ByteReader reader(bytes);
  Request request;
  request.mark.client = reader.Get<std::uint64_t>();
  request.mark.sequence = reader.Get<std::uint64_t>();
  request.mark.acknowledged = reader.Get<std::uint64_t>();
  request.act = static_cast<Act>(reader.Get<std::uint8_t>());
  request.key = reader.Get<std::uint64_t>();
  request.value = reader.Get<std::int64_t>();
  request.expected = reader.Get<std::int64_t>();
  CHECK(reader.AtEnd());  // Entries carry checksums: what we wrote is what we read.
  return request;
}

std::string Encode(const Response& response) {
  std::vector<std::byte> bytes;
  ByteWriter writer(bytes);
  writer.Put(static_cast<std::uint8_t>(response.expired));
  writer.Put(static_cast<std::uint8_t>(response.swapped));
  writer.Put(static_cast<std::uint8_t>(response.value.has_value()));
  writer.Put(response.value.value_or(0));
  writer.Put(static_cast<std::uint32_t>(response.elements.size()));
  for (const std::int64_t element : response.elements) writer.Put(element);
  return std::string(AsText(bytes));
}

Response DecodeResponse(std::string_view text) {
  ByteReader reader(AsBytes(text));
  Response response;
  response.expired = reader.Get<std::uint8_t>() != 0;
  response.swapped = reader.Get<std::uint8_t>() != 0;
  const bool has_value = reader.Get<std::uint8_t>() != 0;
  const auto value = reader.Get<std::int64_t>();
  if (has_value) response.value = value;
  const auto count = reader.Get<std::uint32_t>();
  for (std::uint32_t at = 0; at < count; ++at)
    response.elements.push_back(reader.Get<std::int64_t>());
  CHECK(reader.AtEnd());
  return response;
}

void Machine::Apply(const server::ApplyContext&,
                    std::span<const server::Committed> commands,
                    std::span<server::Applied> answers) {
  for (std::size_t one = 0; one < commands.size(); ++one)
    answers[one].answer = Apply(commands[one].at, commands[one].command);
}

std::string Machine::Apply(core::LogEnd at, Bytes command) {
  witness_.OnApply(*this, at, command);
  const Request request = DecodeRequest(command);
  const server::SessionTable::Finding finding = sessions_.Find(request.mark, at.index);
  if (finding.standing == server::SessionTable::Standing::kExecuted) return finding.answer;
  if (finding.standing == server::SessionTable::Standing::kExpired)
    return Encode(Response{.expired = true});
  std::string answer = Encode(Execute(request));
  sessions_.Record(request.mark, answer);
  return answer;
}

Response Machine::Read(const Request& request) const {
  Response response;
  if (request.act == Act::kMembers) {
    const auto set = sets_.find(request.key);
    if (set != sets_.end()) response.elements.assign(set->second.begin(), set->second.end());
    return response;
  }
  const auto value = registers_.find(request.key);
  if (value != registers_.end()) response.value = value->second;
  return response;
}

Response Machine::Execute(const Request& request) {
  switch (request.act) {
    case Act::kRead:
    case Act::kMembers:
      break;
    case Act::kWrite:
      registers_[request.key] = request.value;
      break;
    case Act::kCas: {
      const auto value = registers_.find(request.key);
      if (value == registers_.end() || value->second != request.expected) return {};
      value->second = request.value;
      return {.swapped = true};
    }
    case Act::kAdd:
      sets_[request.key].insert(request.value);
      break;
  }
  return Read(request);
}

}  // namespace duramen::simulator
