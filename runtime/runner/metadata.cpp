#include "metadata.h"

#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "json.h"
#include "sha256.h"

namespace bitsr {
namespace {

// As LIMITS of bitsr/artifact/info.py; a test has both readers meet them.
constexpr int64_t kMaxScale = 16, kMaxChannels = 1 << 16, kMaxPixels = int64_t{1} << 40;
constexpr double kMaxValue = 1 << 20;

bool integer(std::string_view object, std::string_view key, int64_t low, int64_t high, int64_t* value) {
  return json_integer(object, key, value) && *value >= low && *value <= high;
}

constexpr char kFormat[] = "bitsr-artifact";
constexpr int64_t kFormatVersion = 2, kOpsVersion = 1;
constexpr size_t kDigits = 64;

bool digest(std::string_view text, std::string_view key, std::string* value) {
  std::string_view found;
  if (!json_text(text, key, &found) || found.size() != kDigits ||
      found.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return false;
  *value = std::string(found);
  return true;
}

// A digest of something that holds it is taken with zeros in its place, the last field of that name.
std::string digest_with_zeros(std::string_view content, std::string_view field) {
  const std::string name = "\"" + std::string(field) + "\"", zeros(kDigits, '0');
  Sha256 sha;
  const size_t found = content.rfind(name), colon = content.find(':', found);
  const size_t quote = colon == std::string_view::npos ? colon : content.find('"', colon);
  if (found == std::string_view::npos || quote == std::string_view::npos || content.size() - quote - 1 < kDigits)
    return "";
  sha.add(content.data(), quote + 1);
  sha.add(zeros.data(), kDigits);
  sha.add(content.data() + quote + 1 + kDigits, content.size() - quote - 1 - kDigits);
  return sha.finish();
}

bool channels(std::string_view object, std::string_view key, int32_t* value) {
  int64_t found = 0;
  if (!integer(object, key, 1, kMaxChannels, &found)) return false;
  *value = static_cast<int32_t>(found);
  return true;
}

// The first field that is missing or wrong, null where all are right.
const char* first_wrong(std::string_view text, Metadata* m) {
  int64_t scale = 0;
  if (!integer(text, "scale", 1, kMaxScale, &scale)) return "scale";
  m->scale = static_cast<int32_t>(scale);
  if (!integer(text, "artifact_bytes", 1, INT64_MAX, &m->artifact_bytes)) return "artifact_bytes";
  if (!digest(text, "artifact_sha256", &m->artifact_sha256)) return "artifact_sha256";
  std::string_view own;
  if (json_value(text, "metadata_sha256", &own) && own != "null" &&
      !digest(text, "metadata_sha256", &m->metadata_sha256))
    return "metadata_sha256";
  if (!channels(text, "in_channels", &m->in_channels)) return "in_channels";
  if (!channels(text, "out_channels", &m->out_channels)) return "out_channels";
  if (!integer(text, "receptive_field_radius", 0, kMaxSide, &m->receptive_field_radius))
    return "receptive_field_radius";
  std::string_view sizes, range;
  if (!json_value(text, "sizes", &sizes)) return "sizes";
  if (!integer(sizes, "min_side", 1, kMaxSide, &m->min_side)) return "sizes.min_side";
  if (!integer(sizes, "multiple", 1, kMaxSide, &m->multiple)) return "sizes.multiple";
  if (!integer(sizes, "max_pixels", 1, kMaxPixels, &m->max_pixels)) return "sizes.max_pixels";
  double limits[2] = {0.0, 1.0};
  if (json_value(text, "value_range", &range) && !json_pair(range, limits)) return "value_range";
  for (const double limit : limits)
    if (std::fabs(limit) > kMaxValue) return "value_range";
  m->range = {static_cast<float>(limits[0]), static_cast<float>(limits[1])};
  if (!(m->range.low < m->range.high)) return "value_range";
  std::string_view dtype;
  if (json_value(text, "dtype", &dtype)) {
    if (!json_text(text, "dtype", &dtype) || (dtype != "float32" && dtype != "uint8")) return "dtype";
    m->pixels = dtype == "uint8";
  }
  std::string_view diffusion;
  m->diffusion = json_value(text, "diffusion", &diffusion) && diffusion != "null";
  return nullptr;
}

}  // namespace

Outcome parse_metadata(const std::string& text, const std::string& name, const std::string& source,
                       Metadata* metadata) {
  std::string_view format;
  if (!is_json_object(text) || !json_text(text, "format", &format) || format != kFormat)
    return failed(ErrorKind::format, "%s (%s) has no metadata of bitsr; export the model again", name.c_str(),
                  source.c_str());
  for (const auto& [field, known] :
       {std::pair{"format_version", kFormatVersion}, std::pair{"ops_version", kOpsVersion}}) {
    std::string_view found;
    if (!json_value(text, field, &found)) continue;
    int64_t version = 0;
    if (!json_integer(text, field, &version))
      return failed(ErrorKind::format, "the metadata of %s (%s) is damaged: %s is wrong; export the model again",
                    name.c_str(), source.c_str(), field);
    if (version != known)
      return failed(ErrorKind::format, "%s (%s) has %s %lld, this bitsr reads %lld; %s", name.c_str(), source.c_str(),
                    field, static_cast<long long>(version), static_cast<long long>(known),
                    version > known ? "update bitsr" : "export the model again");
  }
  if (const char* wrong = first_wrong(text, metadata); wrong != nullptr)
    return failed(ErrorKind::format,
                  "the metadata of %s (%s) is damaged: %s is missing or wrong; export the model again", name.c_str(),
                  source.c_str(), wrong);
  return {};
}

Outcome check_together(const Metadata& metadata, const std::string& text, bool embedded, const void* content,
                       size_t size, const std::string& name) {
  if (metadata.artifact_bytes != static_cast<int64_t>(size))
    return failed(ErrorKind::format,
                  "%s has %zu bytes, its metadata says %lld: they do not belong together; export the model again",
                  name.c_str(), size, static_cast<long long>(metadata.artifact_bytes));
  const std::string_view bytes(static_cast<const char*>(content), size);
  if (!embedded && digest_with_zeros(text, "metadata_sha256") != metadata.metadata_sha256)
    return failed(ErrorKind::format, "the sidecar of %s was changed: its SHA-256 is another; export the model again",
                  name.c_str());
  std::string found;
  if (embedded) {
    found = digest_with_zeros(bytes, "artifact_sha256");
  } else {
    Sha256 sha;
    sha.add(content, size);
    found = sha.finish();
  }
  if (found == metadata.artifact_sha256) return {};
  return failed(ErrorKind::format,
                "%s is damaged or does not belong to its metadata: expected SHA-256 %.12s..., got %.12s...; export the "
                "model again",
                name.c_str(), metadata.artifact_sha256.c_str(), found.c_str());
}

}  // namespace bitsr
