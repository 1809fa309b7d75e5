using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The UNet of Stable Diffusion, which predicts the noise in latents at a step of the diffusion, given the states of a text. Parameters
/// have the names of diffusers' checkpoints, which load as they are; nodes are named after the modules.
/// <para>Sources: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv 2112.10752); Podell et
/// al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis" (arXiv 2307.01952); <c>UNet2DConditionModel</c> of
/// repository huggingface/diffusers 0.25.</para>
/// </summary>
public static class UNet2DCondition
{
    internal const string PlainDown = "DownBlock2D";
    internal const string AttentionDown = "CrossAttnDownBlock2D";
    internal const string PlainUp = "UpBlock2D";
    internal const string AttentionUp = "CrossAttnUpBlock2D";

    /// <summary>Height and width of the original, top and left of the crop, height and width aimed at.</summary>
    internal const int TimeIdCount = 6;

    private const float TransformerNormEpsilon = 1e-6f;
    private const float LayerNormEpsilon = 1e-5f;
    private const int FeedForwardRatio = 4;
    private const float LongestPeriod = 10000;

    /// <summary>
    /// The published models: <c>sd15</c> (Stable Diffusion 1.x) and <c>sdxl_base</c>; and <c>sd_nano</c>, a small one of ours that is
    /// quickly trained.
    /// </summary>
    public static IReadOnlyDictionary<string, UNet2DConditionConfig> Variants { get; } = new Dictionary<string, UNet2DConditionConfig>
    {
        ["sd15"] = new() { CrossAttentionDim = 768 },
        ["sdxl_base"] = new()
        {
            SampleSize = 128,
            DownBlockTypes = [PlainDown, AttentionDown, AttentionDown],
            UpBlockTypes = [AttentionUp, AttentionUp, PlainUp],
            BlockOutChannels = [320, 640, 1280],
            TransformerLayersPerBlock = [1, 2, 10],
            AttentionHeadDim = [5, 10, 20],
            CrossAttentionDim = 2048,
            UseLinearProjection = true,
            AdditionEmbedType = "text_time",
            AdditionTimeEmbedDim = 256,
            ProjectionClassEmbeddingsInputDim = 2816,
        },
        ["sd_nano"] = new()
        {
            SampleSize = 16,
            DownBlockTypes = [PlainDown, AttentionDown, AttentionDown],
            UpBlockTypes = [AttentionUp, AttentionUp, PlainUp],
            BlockOutChannels = [64, 96, 160],
            LayersPerBlock = [1],
            AttentionHeadDim = [2, 3, 5],
            CrossAttentionDim = 128,
            UseLinearProjection = true,
        },
    }.ToFrozenDictionary();

    /// <summary>
    /// Builds the model with the inputs and outputs of optimum's exports. Inputs: <c>sample</c> [N, 4, H, W], latents that halve evenly at
    /// each block but the last;
    /// <c>timestep</c>, one number between 0 and 1000; <c>encoder_hidden_states</c> [N, T, C], the states of the text; for SDXL
    /// <c>text_embeds</c> [N, 1280], its pooled embedding, and <c>time_ids</c> [N, 6], height and width of the original, top and left of
    /// the crop, height and width aimed at, in pixels. Output: <c>out_sample</c> [N, 4, H, W].
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="NotSupportedException">The configuration is of a kind that Stable Diffusion has not.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(UNet2DConditionConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("unet");
        var parameters = new Parameters(builder, weights);
        var sample = builder.Input("sample", TensorElementType.Float, ["N", config.InChannels, "H", "W"]);
        var timestep = builder.Input("timestep", TensorElementType.Float, []);
        var text = builder.Input("encoder_hidden_states", TensorElementType.Float, ["N", "T", config.CrossAttentionDim]);
        (Value, Value)? textTime = config.HasTextTime
            ? (builder.Input("text_embeds", TensorElementType.Float, ["N", config.PooledTextDim]),
                builder.Input("time_ids", TensorElementType.Float, ["N", TimeIdCount]))
            : null;
        builder.Output("out_sample", Net(sample, timestep, text, config, parameters, textTime));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>The net as a function of values.</summary>
    /// <param name="sample">[N, C, H, W]</param>
    /// <param name="timestep">A scalar, or [N].</param>
    /// <param name="text">The states of the text, [N, T, width].</param>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="parameters">Those of the net.</param>
    /// <param name="textTime">The pooled embedding of the text, [N, width], and the picture's size and crop, [N, 6], where the net takes them.</param>
    /// <returns>[N, C, H, W]</returns>
    internal static Value Net(
        Value sample, Value timestep, Value text, UNet2DConditionConfig config, Parameters parameters,
        (Value PooledText, Value TimeIds)? textTime = null)
    {
        config.Validate();
        var time = TimeEmbedding(timestep, config, parameters, textTime).Silu();
        var map = sample.Conv2d(parameters["conv_in"], config.BlockOutChannels[0], kernel: 3, padding: 1);
        var skips = new Stack<Value>([map]);
        for (var block = 0; block < config.BlockCount; block++)
            map = Down(map, block);
        map = Middle(map);
        for (var block = config.BlockCount - 1; block >= 0; block--)
            map = Up(map, block);
        return map.GroupNorm(parameters["conv_norm_out"], config.NormNumGroups, config.NormEps, silu: true)
            .Conv2d(parameters["conv_out"], config.OutChannels, kernel: 3, padding: 1);

        Value Down(Value map, int block)
        {
            var module = parameters[$"down_blocks.{block}"];
            using var scope = module.Scope();
            for (var layer = 0; layer < config.LayersOf(block); layer++)
            {
                map = Resnet(map, module, layer, block);
                if (config.DownBlockTypes[block] == AttentionDown)
                    map = Transformer(map, text, module[$"attentions.{layer}"], config, block);
                skips.Push(map);
            }
            if (block == config.BlockCount - 1)
                return map;
            map = Downsample(map, module["downsamplers.0"]);
            skips.Push(map);
            return map;
        }

        Value Middle(Value map)
        {
            var (module, block) = (parameters["mid_block"], config.BlockCount - 1);
            using var scope = module.Scope();
            map = Resnet(map, module, 0, block);
            map = Transformer(map, text, module["attentions.0"], config, block);
            return Resnet(map, module, 1, block);
        }

        // Blocks on the way up are numbered from the lowest resolution.
        Value Up(Value map, int block)
        {
            var number = config.BlockCount - 1 - block;
            var module = parameters[$"up_blocks.{number}"];
            using var scope = module.Scope();
            for (var layer = 0; layer <= config.LayersOf(block); layer++)
            {
                map = Resnet(map.Builder.Concat(1, map, skips.Pop()), module, layer, block);
                if (config.UpBlockTypes[number] == AttentionUp)
                    map = Transformer(map, text, module[$"attentions.{layer}"], config, block);
            }
            return block == 0 ? map : map.Upsample(module["upsamplers.0"]);
        }

        Value Resnet(Value map, Parameters module, int layer, int block) => map.ResnetBlock(
            time, module[$"resnets.{layer}"], config.BlockOutChannels[block], config.NormNumGroups, config.NormEps);
    }

    /// <summary>Sines and cosines of numbers at frequencies from 1 down: [N] to [N, width].</summary>
    internal static Value Timesteps(Value numbers, int width, bool flipSinToCos, int shift)
    {
        var (builder, half) = (numbers.Builder, width / 2);
        var frequencies = new float[half];
        for (var i = 0; i < half; i++)
            frequencies[i] = MathF.Exp(-MathF.Log(LongestPeriod) * i / (half - shift)); // rounded as PyTorch does, as sines of steps notice
        var angles = numbers.Unsqueeze(1) * builder.Constant(Tensor.Create<float>(frequencies, half));
        var (sines, cosines) = (angles.Apply("Sin"), angles.Apply("Cos"));
        var embedding = flipSinToCos ? builder.Concat(1, cosines, sines) : builder.Concat(1, sines, cosines);
        return width % 2 == 0 ? embedding : embedding.Pad(0, 0, 0, 1);
    }

    /// <summary><c>linear_1</c>, SiLU, <c>linear_2</c>.</summary>
    internal static Value TimestepEmbedding(Value value, Parameters parameters, long width)
    {
        using var scope = parameters.Scope();
        return value.Dense(parameters["linear_1"], width).Silu().Dense(parameters["linear_2"], width);
    }

    // [N, width], or [1, width] where all examples are at the same step and nothing else is known of them.
    private static Value TimeEmbedding(
        Value timestep, UNet2DConditionConfig config, Parameters parameters, (Value PooledText, Value TimeIds)? textTime)
    {
        var width = config.BlockOutChannels[0] * 4;
        var steps = Timesteps(Numbers(timestep), config.BlockOutChannels[0], config.FlipSinToCos, config.FreqShift);
        var time = TimestepEmbedding(steps, parameters["time_embedding"], width);
        if (!config.HasTextTime)
            return time;
        var (pooledText, timeIds) = textTime ?? throw new ArgumentException("The net takes a pooled text and time ids.", nameof(textTime));
        var sizes = Timesteps(Numbers(timeIds), config.AdditionTimeEmbedDim!.Value, config.FlipSinToCos, config.FreqShift)
            .Reshape(-1, TimeIdCount * config.AdditionTimeEmbedDim.Value);
        return time + TimestepEmbedding(time.Builder.Concat(1, pooledText, sizes), parameters["add_embedding"], width);

        // A Cast from float32 would keep what follows in single precision when the net is trained in mixed precision.
        static Value Numbers(Value value) =>
            (value.Type == TensorElementType.Float ? value : value.Cast(TensorElementType.Float)).Reshape(-1);
    }

    private static Value Downsample(Value map, Parameters parameters)
    {
        using var scope = parameters.Scope();
        return map.Conv2d(parameters["conv"], map.Shape[1].Value, kernel: 3, stride: 2, padding: 1);
    }

    // Transformer blocks over the positions of a map, with a residual sum.
    private static Value Transformer(Value map, Value text, Parameters parameters, UNet2DConditionConfig config, int block)
    {
        using var scope = parameters.Scope();
        var (channels, heads) = (config.BlockOutChannels[block], config.HeadsOf(block));
        var hidden = map.GroupNorm(parameters["norm"], config.NormNumGroups, TransformerNormEpsilon);
        var tokens = config.UseLinearProjection
            ? hidden.ToTokens().Dense(parameters["proj_in"], channels)
            : hidden.Conv2d(parameters["proj_in"], channels, kernel: 1).ToTokens();
        for (var layer = 0; layer < config.TransformerLayersOf(block); layer++)
            tokens = TransformerBlock(tokens, text, parameters[$"transformer_blocks.{layer}"], heads);
        return map + (config.UseLinearProjection
            ? tokens.Dense(parameters["proj_out"], channels).ToMap(sizeOf: map)
            : tokens.ToMap(sizeOf: map).Conv2d(parameters["proj_out"], channels, kernel: 1));
    }

    private static Value TransformerBlock(Value tokens, Value text, Parameters parameters, int heads)
    {
        using var scope = parameters.Scope();
        var normed = Norm("norm1");
        tokens += Attention(normed, normed, parameters["attn1"], heads);
        tokens += Attention(Norm("norm2"), text, parameters["attn2"], heads);
        return tokens + FeedForward(Norm("norm3"), parameters["ff"]);

        Value Norm(string name) => tokens.LayerNorm(parameters[name], LayerNormEpsilon);
    }

    private static Value Attention(Value tokens, Value context, Parameters parameters, int heads)
    {
        using var scope = parameters.Scope();
        var width = tokens.Shape[2].Value;
        var query = tokens.Dense(parameters["to_q"], width, bias: false);
        var key = context.Dense(parameters["to_k"], width, bias: false);
        var value = context.Dense(parameters["to_v"], width, bias: false);
        return MultiHeadAttention.Apply(query, key, value, heads).Dense(parameters["to_out.0"], width);
    }

    private static Value FeedForward(Value tokens, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var width = tokens.Shape[2].Value;
        var inner = FeedForwardRatio * width;
        var parts = tokens.Dense(parameters["net.0.proj"], 2 * inner).Split(2, inner, inner);
        return (parts[0] * parts[1].Gelu()).Dense(parameters["net.2"], width);
    }
}
