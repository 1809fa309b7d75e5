using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>How <see cref="ConsistentUnet.Rewrite"/> goes about it.</summary>
public sealed record ConsistentUnetOptions
{
    /// <summary>
    /// The number of groups in a batch, which never attend to each other: 2 with classifier-free guidance (all images without the
    /// prompt, then all with it), 1 without.
    /// </summary>
    public int GroupCount { get; init; } = 2;

    /// <summary>
    /// What the UNet's <c>config.json</c> says: the rewrite then checks that it found all self-attentions there are, and the numbers of
    /// heads, which it takes from here where the graph does not tell them. Null to go by the graph alone.
    /// </summary>
    public UNet2DConditionConfig? Config { get; init; }
}

/// <summary>
/// A UNet of Stable Diffusion whose self-attentions on the way up see other images of a story: the images of the batch and, through
/// banks of keys and values, images that were drawn before.
/// <para>Source: Zhou et al., "StoryDiffusion: Consistent Self-Attention for Long-Range Image and Video Generation", NeurIPS 2024
/// (arXiv 2405.01434), repository HVision-NKU/StoryDiffusion.</para>
/// To the inputs and outputs of the UNet come those of each <see cref="ConsistentLayer"/>, one mask for each level, and
/// <see cref="ModeInput"/>.
/// </summary>
public sealed class ConsistentUnet
{
    /// <summary>
    /// The input that says for each layer what its tokens attend to, int32 [layers]: 0 those of their own image, 1 all of the bank and the
    /// batch, 2 those that the mask of the level allows, and their own.
    /// </summary>
    public const string ModeInput = "csa_mode";

    private const long OldestIrWithFunctions = 8;

    /// <summary>Reads a model that <see cref="Rewrite"/> made.</summary>
    /// <exception cref="InvalidDataException">The model has no consistent self-attention.</exception>
    public ConsistentUnet(OnnxModel model)
    {
        Model = model;
        var nodes = model.Graph.Nodes.FindAll(node => node is { OpType: nameof(ConsistentSelfAttention), Domain: AttentionOp.Domain });
        if (nodes.Count == 0)
            throw new InvalidDataException($"Graph '{model.Graph.Name}' has no consistent self-attention; rewrite the UNet first.");
        GroupCount = (int)nodes[0].Attributes.Int("group_count");
        Layers = [.. nodes.Select(ReadLayer).OrderBy(layer => layer.Index)];
        LevelCount = Layers.Max(layer => layer.Level) + 1;
    }

    /// <summary>The model.</summary>
    public OnnxModel Model { get; }

    /// <summary>The consistent self-attentions in the order in which they run.</summary>
    public IReadOnlyList<ConsistentLayer> Layers { get; }

    /// <summary>The number of groups in a batch; see <see cref="ConsistentUnetOptions.GroupCount"/>.</summary>
    public int GroupCount { get; }

    /// <summary>The number of levels, each with a mask of its own.</summary>
    public int LevelCount { get; }

    /// <summary>
    /// The input that takes the mask of a level: bool [n, M + n * N]; level 0 is the lowest resolution that has attention.
    /// </summary>
    public static string MaskInput(int level) => $"csa_mask.{level}";

    /// <summary>
    /// Makes an exported UNet consistent. The given model stays as it is; the weights are shared, not copied. Operator sets 13 to 19 become
    /// 20, in which the operator is defined.
    /// </summary>
    /// <param name="unet">A UNet as optimum, diffusers' own scripts or this library write it.</param>
    /// <param name="options">The options.</param>
    /// <exception cref="InvalidDataException">
    /// The graph does not match; the message names the blocks and nodes, and what was expected there.
    /// </exception>
    public static ConsistentUnet Rewrite(OnnxModel unet, ConsistentUnetOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(unet);
        options ??= new();
        var model = unet.CloneInlined();
        model.IrVersion = Math.Max(model.IrVersion, OldestIrWithFunctions);
        RaiseOpset(model);
        var index = new GraphIndex(model);
        var attentions = UpBlockAttentions.Find(index, options.Config);
        new ConsistentRewrite(model.Graph, index, options.GroupCount).Apply(attentions);
        return new(AttentionOps.Complete(model));
    }

    // ONNX Runtime reads the definition of the operator in the operator set of the model.
    private static void RaiseOpset(OnnxModel model)
    {
        var opset = model.Opsets.GetValueOrDefault("", OnnxModel.DefaultOpset);
        if (opset < OpsetUpgrade.Oldest)
        {
            throw new InvalidDataException(
                $"Graph '{model.Graph.Name}' is of operator set {opset}; expected {OpsetUpgrade.Oldest} or later. Export it again.");
        }
        if (opset >= OnnxModel.DefaultOpset)
            return;
        OpsetUpgrade.Apply(model.Graph, opset);
        model.Opsets[""] = OnnxModel.DefaultOpset;
    }

    private ConsistentLayer ReadLayer(Node node)
    {
        var channels = Model.Graph.Info(node.Inputs[3]).Shape![-1];
        var mask = node.Inputs[5];
        return new((int)node.Attributes.Int("layer"), node.Name, (int)channels.Value, (int)node.Attributes.Int("head_count"),
            int.Parse(mask[(mask.LastIndexOf('.') + 1)..]));
    }
}
