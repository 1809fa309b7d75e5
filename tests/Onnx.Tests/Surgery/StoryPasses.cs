using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>
/// Runs a consistent UNet as the reference did: passes over two identity images, then passes over one image that sees them, plain, masked
/// and with every key.
/// </summary>
internal sealed class StoryPasses : IDisposable
{
    private static readonly (string Name, int WriteMode, int ReadMode)[] Passes = [("plain", 0, 0), ("masked", 2, 2), ("early", 0, 1)];

    private readonly ConsistentUnet _unet;
    private readonly IReadOnlyDictionary<string, Tensor> _reference;
    private readonly InferenceSession _session;

    public StoryPasses(ConsistentUnet unet, IReadOnlyDictionary<string, Tensor> reference, Action<SessionOptions>? configure = null)
    {
        (_unet, _reference) = (unet, reference);
        using var options = new SessionOptions { IntraOpNumThreads = 2, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        configure?.Invoke(options);
        _session = new(unet.Model.ToBytes(), options);
    }

    public void Dispose() => _session.Dispose();

    /// <summary>The largest differences of the results from the reference's.</summary>
    public IEnumerable<(string Pass, double Error)> Errors(bool isStatic = false)
    {
        foreach (var (name, writeMode, readMode) in Passes)
        {
            var written = Run("write", writeMode, null);
            yield return ($"write_{name}", Error($"write_{name}", written));
            if (!isStatic)
                yield return ($"read_{name}", Error($"read_{name}", Run("read", readMode, written)));
        }
    }

    private Dictionary<string, Tensor> Run(string pass, int mode, Dictionary<string, Tensor>? written)
    {
        var inputs = new Dictionary<string, Tensor>
        {
            ["sample"] = _reference[$"{pass}.sample"],
            ["timestep"] = Tensor.Scalar(321f),
            ["encoder_hidden_states"] = _reference[$"{pass}.encoder_hidden_states"],
            [ConsistentUnet.ModeInput] = Tensor.Create<int>([.. Enumerable.Repeat(mode, _unet.Layers.Count)], _unet.Layers.Count),
        };
        foreach (var layer in _unet.Layers)
        {
            inputs[layer.BankKeyInput] = Bank(layer, written?[layer.KeyOutput]);
            inputs[layer.BankValueInput] = Bank(layer, written?[layer.ValueOutput]);
            inputs[layer.MaskInput] = Mask(_reference[$"mask.{layer.Level}"], isRead: written is not null);
        }
        using var options = new RunOptions();
        var values = _session.InputNames.Select(name => SessionRunner.ToOrtValue(AsInput(name, inputs[name]))).ToArray();
        try
        {
            using var outputs = _session.Run(options, _session.InputNames, values, _session.OutputNames);
            return _session.OutputNames.Zip(outputs).ToDictionary(pair => pair.First, pair => SessionRunner.FromOrtValue(pair.Second));
        }
        finally
        {
            Array.ForEach(values, value => value.Dispose());
        }
    }

    private Tensor Bank(ConsistentLayer layer, Tensor? written) => written is null
        ? Tensor.Create<float>([], _unet.GroupCount, 0, layer.Channels)
        : written.Reshape(_unet.GroupCount, written.ElementCount / _unet.GroupCount / layer.Channels, layer.Channels);

    // The rows of the identity images without the last image's keys, or the last row.
    private static Tensor Mask(Tensor whole, bool isRead)
    {
        var (rows, columns) = ((int)whole.Dims[0], (int)whole.Dims[1]);
        var tokens = columns / rows;
        var mask = whole.AsSpan<bool>();
        if (isRead)
            return Tensor.Create(mask[((rows - 1) * columns)..], 1, columns);
        var kept = new List<bool>();
        for (var row = 0; row < rows - 1; row++)
            kept.AddRange(mask.Slice(row * columns, columns - tokens));
        return Tensor.Create<bool>(kept.ToArray(), rows - 1, columns - tokens);
    }

    // A graph in half precision takes half-precision inputs.
    private Tensor AsInput(string name, Tensor tensor) =>
        _session.InputMetadata[name].ElementDataType == TensorElementType.Float16 && tensor.Type == TensorElementType.Float
            ? Tensor.Create<Half>(Array.ConvertAll(tensor.AsSpan<float>().ToArray(), value => (Half)value), [.. tensor.Dims])
            : tensor;

    private double Error(string name, Dictionary<string, Tensor> outputs)
    {
        var actual = Numbers(outputs["out_sample"]);
        var expected = Numbers(_reference[name]);
        Assert.Equal(expected.Length, actual.Length);
        return actual.Zip(expected, (x, y) => (double)Math.Abs(x - y)).Max();
    }

    private static float[] Numbers(Tensor tensor) => tensor.Type == TensorElementType.Float16
        ? Array.ConvertAll(tensor.AsSpan<Half>().ToArray(), value => (float)value)
        : tensor.AsSpan<float>().ToArray();
}
