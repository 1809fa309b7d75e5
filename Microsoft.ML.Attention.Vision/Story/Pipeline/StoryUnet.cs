using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A consistent UNet that is open. Any number of threads may use it at once.</summary>
internal sealed class StoryUnet : IDisposable
{
    private const string Sample = "sample", Timestep = "timestep", TextStates = "encoder_hidden_states", TextEmbeds = "text_embeds",
        TimeIds = "time_ids";

    private readonly OnnxSession _session;
    private readonly BankJoin _join;
    private readonly ConsistentUnet _unet;
    private readonly string _output;
    private readonly (OrtValue Key, OrtValue Value)[] _noTokens;
    private readonly int[] _scales;

    /// <param name="unet">What <see cref="Prepare"/> made.</param>
    /// <param name="open">Opens a model: the UNet and a small one beside it.</param>
    public StoryUnet(ConsistentUnet unet, Func<OnnxModel, OnnxSession> open)
    {
        _unet = unet;
        _session = open(unet.Model);
        _output = _session.OutputNames[0];
        _join = new(unet, open);
        _noTokens = [.. unet.Layers.Select(layer => (NoTokens(layer.BankKeyInput, layer), NoTokens(layer.BankValueInput, layer)))];
        _scales = [.. Enumerable.Range(0, unet.LevelCount).Select(level => Scale(unet.Model.Graph, level))];
    }

    public int LayerCount => _unet.Layers.Count;

    public int LevelCount => _unet.LevelCount;

    /// <summary>Makes a UNet consistent, and lets it hand out the keys and values of chosen tokens only.</summary>
    /// <param name="unet">A UNet as it is exported.</param>
    /// <param name="groupCount">2 where guidance's halves run together, 1 where they do not or there is none.</param>
    /// <param name="freeU">Whether FreeU is built in.</param>
    public static ConsistentUnet Prepare(OnnxModel unet, int groupCount, bool freeU)
    {
        var consistent = ConsistentUnet.Rewrite(freeU ? FreeU.Rewrite(unet) : unet, new() { GroupCount = groupCount });
        var graph = consistent.Model.Graph;
        var builder = new GraphBuilder(graph);
        var shared = Enumerable.Range(0, consistent.LevelCount)
            .Select(level => builder.Input(SharedInput(level), TensorElementType.Int64, [$"csa_shared.{level}"])).ToArray();
        foreach (var layer in consistent.Layers)
        {
            foreach (var (tokens, output) in new[] { (layer.KeyOutput, SharedKeyOutput(layer)), (layer.ValueOutput, SharedValueOutput(layer)) })
            {
                graph.Outputs.Remove(tokens);
                builder.Output(output, builder[tokens].Reshape(groupCount, -1, layer.Channels).Gather(shared[layer.Level], axis: 1));
            }
        }
        return consistent;
    }

    /// <summary>Opens a UNet of a file.</summary>
    public static StoryUnet Open(IHostEnvironment environment, string path, int groupCount, bool freeU, OnnxSessionOptions options) => new(
        Prepare(OnnxModel.Load(path, leaveExternalData: true), groupCount, freeU),
        model => OnnxSession.Open(environment, new ModelContent(model.ToBytes(), path), options));

    /// <summary>The number of tokens of a picture at a level.</summary>
    public int TokenCount(int level, UnetConditions conditions)
    {
        var scale = _scales[level];
        return (conditions.Height + scale - 1) / scale * ((conditions.Width + scale - 1) / scale);
    }

    /// <summary>Writes the predictions of a batch into its pictures.</summary>
    /// <returns>What the pictures share.</returns>
    public TokenBank Predict(UnetBatch batch, UnetConditions conditions, TokenBank bank, CancellationToken cancellation)
    {
        PromptEmbedding?[] groups = conditions.Negative is { } negative ? [negative, null] : [null];
        var predictions = new float[groups.Length * batch.Pictures.Length * conditions.LatentCount];
        var shared = Enumerable.Range(0, LevelCount).Select(level => batch.Shared?.Invoke(level) ?? []).ToArray();
        using var common = new OrtValues();
        BindCommon(common, batch, conditions, bank, shared);
        var parts = new List<(OrtValue, OrtValue)[]>();
        var written = new TokenBank(parts, Array.ConvertAll(shared, tokens => tokens.Length));
        try
        {
            foreach (var (run, prompts) in groups.Chunk(_unet.GroupCount).Index())
            {
                var length = prompts.Length * batch.Pictures.Length * conditions.LatentCount;
                parts.Add(Run(batch, conditions, common, bank.IsEmpty ? _noTokens : bank.Part(run), prompts,
                    predictions.AsSpan(run * length, length), cancellation));
            }
        }
        catch
        {
            written.Dispose();
            throw;
        }
        Guide(batch, conditions, predictions);
        if (batch.Shared is not null)
            return written;
        written.Dispose();
        return TokenBank.Empty;
    }

    /// <summary>One bank of the tokens of several.</summary>
    public TokenBank Join(IReadOnlyList<TokenBank> banks, CancellationToken cancellation) => _join.Run(banks, cancellation);

    public void Dispose()
    {
        new TokenBank([_noTokens], []).Dispose();
        _join.Dispose();
        _session.Dispose();
    }

    // What all runs of a batch have in common.
    private void BindCommon(OrtValues values, UnetBatch batch, UnetConditions conditions, TokenBank bank, long[][] shared)
    {
        var timestep = _session.Inputs[Timestep];
        values.Add(Timestep, HostValue.Of([(float)batch.Timestep], timestep.ElementType, timestep.Dimensions.Length == 0 ? [] : [1]));
        for (var level = 0; level < LevelCount; level++)
        {
            var (tokens, length) = (TokenCount(level, conditions), bank.Length(level));
            var mask = batch.Mask?.Invoke(level, length) ?? TokenSample.Apart(batch.Pictures.Length, tokens, length);
            values.Add(ConsistentUnet.MaskInput(level),
                OrtValue.CreateTensorValueFromMemory(mask, [batch.Pictures.Length, mask.Length / batch.Pictures.Length]));
            values.Add(SharedInput(level), OrtValue.CreateTensorValueFromMemory(shared[level], [shared[level].Length]));
        }
        var open = batch.Mask is null && batch.Pictures.Length == 1 ? ConsistentAttentionMode.All : ConsistentAttentionMode.Masked;
        int[] modes = [.. batch.IsOpen.Select(isOpen => (int)(isOpen ? open : ConsistentAttentionMode.Plain))];
        values.Add(ConsistentUnet.ModeInput, OrtValue.CreateTensorValueFromMemory(modes, [modes.Length]));
    }

    // Runs the UNet for some of guidance's halves; a prompt of null stands for the pictures' own.
    private (OrtValue, OrtValue)[] Run(UnetBatch batch, UnetConditions conditions, OrtValues common, (OrtValue Key, OrtValue Value)[] bank,
        PromptEmbedding?[] prompts, Span<float> predictions, CancellationToken cancellation)
    {
        using var values = new OrtValues();
        LatentPicture[] pictures = [.. prompts.SelectMany(_ => batch.Pictures)];
        PromptEmbedding[] texts = [.. prompts.SelectMany(prompt => batch.Pictures.Select(picture => prompt ?? picture.Prompt))];
        long[] latents = [pictures.Length, conditions.Channels, conditions.Height, conditions.Width];
        float[] sample = [.. pictures.SelectMany(picture => picture.Latents).Select(value => value * batch.InputScale)];
        values.Add(Sample, Value(Sample, sample, latents));
        float[] states = [.. texts.SelectMany(text => text.Tokens)];
        values.Add(TextStates, Value(TextStates, states, texts.Length, texts[0].TokenCount, texts[0].Tokens.Length / texts[0].TokenCount));
        if (_session.Inputs.ContainsKey(TextEmbeds))
        {
            float[] pooled = [.. texts.SelectMany(text => text.Pooled!)];
            values.Add(TextEmbeds, Value(TextEmbeds, pooled, texts.Length, pooled.Length / texts.Length));
            float[] ids = [.. texts.SelectMany(_ => conditions.TimeIds)];
            values.Add(TimeIds, Value(TimeIds, ids, texts.Length, ids.Length / texts.Length));
        }
        using var output = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, _session.Outputs[_output].ElementType, latents);

        using var binding = _session.CreateBinding();
        common.Bind(binding);
        values.Bind(binding);
        for (var i = 0; i < bank.Length; i++)
        {
            binding.BindInput(_unet.Layers[i].BankKeyInput, bank[i].Key);
            binding.BindInput(_unet.Layers[i].BankValueInput, bank[i].Value);
        }
        binding.BindOutput(_output, output);
        if (batch.Shared is not null)
        {
            foreach (var layer in _unet.Layers)
            {
                binding.BindOutputToDevice(SharedKeyOutput(layer), _session.DeviceMemory);
                binding.BindOutputToDevice(SharedValueOutput(layer), _session.DeviceMemory);
            }
        }
        using var options = new RunOptions();
        _session.Run(options, binding, cancellation);
        HostValue.Read(output, predictions);
        return batch.Shared is null ? [] : SharedBy(binding);
    }

    // In the order in which they were bound: after the prediction a key and a value for each layer.
    private static (OrtValue, OrtValue)[] SharedBy(OrtIoBinding binding)
    {
        var outputs = binding.GetOutputValues();
        outputs[0].Dispose();
        return [.. outputs.Skip(1).Chunk(2).Select(pair => (pair[0], pair[1]))];
    }

    private static void Guide(UnetBatch batch, UnetConditions conditions, ReadOnlySpan<float> predictions)
    {
        var (count, half) = (conditions.LatentCount, predictions.Length / 2);
        for (var i = 0; i < batch.Pictures.Length; i++)
        {
            var guided = batch.Pictures[i].Prediction.AsSpan();
            predictions.Slice(i * count, count).CopyTo(guided);
            if (conditions.Negative is null)
                continue;
            var towards = predictions.Slice(half + i * count, count);
            for (var j = 0; j < count; j++)
                guided[j] += conditions.Guidance * (towards[j] - guided[j]);
        }
    }

    // How much smaller the map of a level is than the latents: every Resize after it doubles the size.
    private static int Scale(Graph graph, int level)
    {
        var last = graph.Nodes.FindLastIndex(node => node.Inputs.Contains(ConsistentUnet.MaskInput(level)));
        return 1 << graph.Nodes.Skip(last).Count(node => node.OpType == "Resize");
    }

    private OrtValue Value(string input, float[] values, params long[] dims) => HostValue.Of(values, _session.Inputs[input].ElementType, dims);

    private OrtValue NoTokens(string input, ConsistentLayer layer) => OrtValue.CreateAllocatedTensorValue(
        OrtAllocator.DefaultInstance, _session.Inputs[input].ElementType, [_unet.GroupCount, 0, layer.Channels]);

    private static string SharedInput(int level) => $"csa_shared.{level}";

    private static string SharedKeyOutput(ConsistentLayer layer) => $"csa_shared_key.{layer.Index}";

    private static string SharedValueOutput(ConsistentLayer layer) => $"csa_shared_value.{layer.Index}";
}
