using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Puts the tokens of banks one after the other, without bringing them to the host.</summary>
internal sealed class BankJoin : IDisposable
{
    private readonly OnnxSession _session;
    private readonly ConsistentUnet _unet;

    public BankJoin(ConsistentUnet unet, Func<OnnxModel, OnnxSession> open)
    {
        _unet = unet;
        var builder = new GraphBuilder("bank_join");
        foreach (var name in Tensors())
        {
            var info = unet.Model.Graph.Info(name);
            var first = builder.Input(First(name), info.Type!.Value, info.Shape!.With(1, "A"));
            var second = builder.Input(Second(name), info.Type.Value, info.Shape.With(1, "B"));
            builder.Output(name, builder.Concat(1, first, second));
        }
        _session = open(builder.ToModel());
    }

    /// <summary>A new bank; those given stay as they are.</summary>
    public TokenBank Run(IReadOnlyList<TokenBank> banks, CancellationToken cancellation)
    {
        var joined = Run(banks[0], banks[1], cancellation);
        foreach (var bank in banks.Skip(2))
        {
            using var before = joined;
            joined = Run(before, bank, cancellation);
        }
        return joined;
    }

    public void Dispose() => _session.Dispose();

    private TokenBank Run(TokenBank first, TokenBank second, CancellationToken cancellation)
    {
        var parts = new List<(OrtValue, OrtValue)[]>();
        var lengths = Enumerable.Range(0, _unet.LevelCount).Select(level => first.Length(level) + second.Length(level)).ToArray();
        var joined = new TokenBank(parts, lengths);
        try
        {
            for (var run = 0; run < first.RunCount; run++)
                parts.Add(Run(first.Part(run), second.Part(run), cancellation));
        }
        catch
        {
            joined.Dispose();
            throw;
        }
        return joined;
    }

    private (OrtValue, OrtValue)[] Run(
        (OrtValue Key, OrtValue Value)[] first, (OrtValue Key, OrtValue Value)[] second, CancellationToken cancellation)
    {
        using var binding = _session.CreateBinding();
        foreach (var layer in _unet.Layers)
        {
            binding.BindInput(First(layer.BankKeyInput), first[layer.Index].Key);
            binding.BindInput(First(layer.BankValueInput), first[layer.Index].Value);
            binding.BindInput(Second(layer.BankKeyInput), second[layer.Index].Key);
            binding.BindInput(Second(layer.BankValueInput), second[layer.Index].Value);
        }
        foreach (var name in Tensors())
            binding.BindOutputToDevice(name, _session.DeviceMemory);
        using var options = new RunOptions();
        _session.Run(options, binding, cancellation);
        return [.. binding.GetOutputValues().Chunk(2).Select(pair => (pair[0], pair[1]))];
    }

    private IEnumerable<string> Tensors() => _unet.Layers.SelectMany(layer => new[] { layer.BankKeyInput, layer.BankValueInput });

    private static string First(string name) => $"{name}.first";

    private static string Second(string name) => $"{name}.second";
}
