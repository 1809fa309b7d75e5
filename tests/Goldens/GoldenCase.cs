using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>A reference case: what the published code computed for given arguments, weights and inputs.</summary>
internal sealed class GoldenCase
{
    private const string InputPrefix = "input:";

    private readonly JsonElement _json;

    private GoldenCase(JsonElement json, IReadOnlyDictionary<string, Tensor> tensors, string folder)
    {
        (_json, Tensors, Folder) = (json, tensors, folder);
        var stored = tensors.Where(tensor => tensor.Key.StartsWith(InputPrefix, StringComparison.Ordinal)).ToArray();
        var drawn = json.GetProperty("inputs").EnumerateObject()
            .Where(input => !tensors.ContainsKey(InputPrefix + input.Name) && input.Value.TryGetProperty("seed", out _)
                && input.Value.GetProperty("shape").ValueKind == JsonValueKind.Array);
        Inputs = stored.Select(tensor => (Name: tensor.Key[InputPrefix.Length..], tensor.Value))
            .Concat(drawn.Select(input => (input.Name, Value: Input(input.Name, input.Value))))
            .ToDictionary(input => input.Name, input => input.Value);
        Expected = tensors.Except(stored).ToDictionary();
    }

    /// <summary>The family of models, such as <c>biformer</c>.</summary>
    public string Model => _json.GetProperty("model").GetString()!;

    /// <summary>Which model, or part of it, of the family.</summary>
    public string Variant => _json.GetProperty("variant").GetString()!;

    /// <summary>The arguments of the model's constructor.</summary>
    public JsonElement Config => _json.GetProperty("config");

    /// <summary>Whatever else the case says of itself.</summary>
    public JsonElement Description => _json;

    /// <summary>Where the case lies, and other files that it refers to.</summary>
    public string Folder { get; }

    /// <summary>The tensors stored in the case.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors { get; }

    /// <summary>The inputs by name, stored or drawn; those that the description makes from others are left out.</summary>
    public IReadOnlyDictionary<string, Tensor> Inputs { get; }

    /// <summary>What came out: <c>output:NAME</c> and, from inside the model, <c>mid:NAME</c>.</summary>
    public IReadOnlyDictionary<string, Tensor> Expected { get; }

    /// <summary>The weights, which fit no model but that of the case.</summary>
    public WeightSource Weights
    {
        get
        {
            var parameters = _json.GetProperty("parameters").EnumerateObject();
            var dims = parameters.ToDictionary(parameter => parameter.Name, parameter => Dims(parameter.Value));
            var scales = _json.TryGetProperty("parameter_scale", out var scaled)
                ? scaled.EnumerateObject().ToDictionary(scale => scale.Name, scale => scale.Value.GetSingle())
                : [];
            return new ReferenceWeights(dims, scales, _json.GetProperty("seed").GetInt32());
        }
    }

    /// <summary>Reads <c>NAME.json</c> and <c>NAME.safetensors</c> beside it.</summary>
    public static GoldenCase Load(string jsonPath)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(jsonPath));
        using var file = SafetensorsFile.Open(Path.ChangeExtension(jsonPath, ".safetensors"));
        return new(json.RootElement.Clone(), file.ReadAll(), Path.GetDirectoryName(Path.GetFullPath(jsonPath))!);
    }

    /// <summary>Every how many elements of the whole tensor are kept in the case.</summary>
    public int Stride(string tensor) =>
        _json.TryGetProperty("outputs", out var outputs) && outputs.TryGetProperty(tensor, out var output)
            && output.TryGetProperty("stride", out var stride)
            ? stride.GetInt32()
            : 1;

    /// <summary>Whether integers are lists, such as a text's tokens, and not sets.</summary>
    public bool IsOrdered => Model == StoryCases.Family || Variant == "metrics";

    /// <summary>The largest error at which a tensor counts as right, relative to its standard deviation.</summary>
    public double Tolerance(string tensor) => Model == StoryCases.Family ? StoryCases.Tolerance(this, tensor) : Math.Max(1e-4, Model == "ugdc" && _json.TryGetProperty("float32_error", out var error)
        ? 20 * error.GetDouble() / Comparison.Spread(Expected[tensor]) // absolute, unlike the others
        : 10 * Math.Max(Measured("sensitivity", tensor), Measured("float32_vs_float64", tensor)));

    // A number for the whole case or one for each output; that of a tensor which has none is the largest of the others.
    private double Measured(string property, string tensor)
    {
        if (!_json.TryGetProperty(property, out var value))
            return 0;
        if (value.ValueKind == JsonValueKind.Number)
            return value.GetDouble();
        if (value.ValueKind != JsonValueKind.Object)
            return 0;
        if (value.TryGetProperty(tensor, out var one) || value.TryGetProperty(tensor[(tensor.IndexOf(':') + 1)..], out one))
            return one.GetDouble();
        return value.EnumerateObject().Where(other => other.Value.ValueKind == JsonValueKind.Number)
            .Select(other => other.Value.GetDouble()).DefaultIfEmpty().Max();
    }

    private static Tensor Input(string name, JsonElement description) =>
        ReferenceValues.Input(name, Dims(description.GetProperty("shape")), description.GetProperty("seed").GetInt32(),
            description.GetProperty("lo").GetDouble(), description.GetProperty("hi").GetDouble());

    private static long[] Dims(JsonElement shape) => [.. shape.EnumerateArray().Select(dim => dim.GetInt64())];
}
