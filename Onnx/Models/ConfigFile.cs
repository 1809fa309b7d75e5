using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The files <c>config.json</c> of Hugging Face's libraries, whose names are those of the records' properties in snake case.</summary>
internal static class ConfigFile
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        WriteIndented = true,
    };

    public static T Read<T>(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(File.ReadAllBytes(path), Options) ?? throw new InvalidDataException($"'{path}' is empty.");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"'{path}' is not the configuration of a {typeof(T).Name[..^"Config".Length]}: {error.Message}", error);
        }
    }

    public static T Parse<T>(JsonElement json) => json.Deserialize<T>(Options)!;

    public static void Write<T>(string path, T config) => File.WriteAllBytes(path, JsonSerializer.SerializeToUtf8Bytes(config, Options));

    /// <summary>Refuses a configuration that has something else than what the model is built for.</summary>
    /// <param name="owner">The configuration.</param>
    /// <param name="others">What the file has beside the configuration's own properties.</param>
    /// <param name="accepted">The values that are taken, as text; null is the empty text.</param>
    public static void ThrowIfOther(string owner, IDictionary<string, JsonElement>? others, IReadOnlyDictionary<string, string[]> accepted)
    {
        foreach (var (name, value) in others ?? new Dictionary<string, JsonElement>())
        {
            if (accepted.TryGetValue(name, out var values) && !values.Contains(value.ToString()))
                throw new NotSupportedException($"{owner}: {name} is {value}; supported is {string.Join(" or ", values.Select(Shown))}.");
        }

        static string Shown(string value) => value.Length == 0 ? "null" : value;
    }
}

/// <summary>A list that may be a single number in the file.</summary>
internal sealed class OneOrMoreConverter : JsonConverter<IReadOnlyList<int>>
{
    public override IReadOnlyList<int> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.Number ? [reader.GetInt32()] : JsonSerializer.Deserialize<int[]>(ref reader, options)!;

    public override void Write(Utf8JsonWriter writer, IReadOnlyList<int> value, JsonSerializerOptions options)
    {
        if (value.Count == 1)
            writer.WriteNumberValue(value[0]);
        else
            JsonSerializer.Serialize(writer, value, options);
    }
}
