using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>The self-attentions of a UNet's way up.</summary>
internal static class UpBlockAttentions
{
    /// <summary>One of them with its number of heads and its level; 0 is the lowest resolution that has attention.</summary>
    public readonly record struct Found(SelfAttention Attention, int HeadCount, int Level);

    /// <summary>Finds them, in the order in which they run.</summary>
    /// <exception cref="InvalidDataException">There are none, some do not match, or they are not those of the configuration.</exception>
    public static IReadOnlyList<Found> Find(GraphIndex index, UNet2DConditionConfig? config = null)
    {
        var graph = index.Graph;
        if (graph.Nodes.Exists(node => node is { OpType: nameof(ConsistentSelfAttention), Domain: AttentionOp.Domain }))
            throw new InvalidDataException($"Graph '{graph.Name}' has consistent self-attention already.");
        var findings = new AttentionFinder(index).Find().ToArray();
        var way = new UpPath(index);
        var up = Array.FindAll(findings, finding => finding.Path?.IsUp ?? way.BlockOf(finding.Anchor) is not null);
        ThrowIfMismatched(graph, Array.FindAll(up, finding => finding.Mismatch is not null && finding.Path?.IsCross != true));
        up = Array.FindAll(up, finding => finding.Attention is not null);
        if (up.Length == 0)
        {
            throw new InvalidDataException($"Graph '{graph.Name}' has no self-attention in up blocks. Expected nodes named after "
                + "/up_blocks.K/, or a Concat of skip connections that a convolution of size 1 x 1 reads, and attentions after it; found "
                + $"{findings.Length} attentions and {way.Joints.Count} such Concats.");
        }
        var blocks = Array.ConvertAll(up, finding => finding.Path?.BlockIndex ?? way.BlockOf(finding.Anchor)!.Value);
        if (config is not null)
            ThrowIfOthers(graph, config, blocks, findings.Count(finding => finding.Attention is not null));
        var levels = blocks.Distinct().Order().ToList();
        return
        [
            .. up.Select(finding => finding.Attention!).Zip(blocks, (attention, block) =>
                new Found(attention, HeadsOf(attention, config?.HeadsOf(config.BlockCount - 1 - block)), levels.IndexOf(block))),
        ];
    }

    private static void ThrowIfMismatched(Graph graph, AttentionFinder.Finding[] mismatches)
    {
        if (mismatches.Length == 0)
            return;
        throw new InvalidDataException(
            $"{mismatches.Length} of the attentions in up blocks of graph '{graph.Name}' do not match:\n"
            + string.Join("\n", mismatches.Select(finding => $"  {finding.Path?.ToString() ?? "(no module named)"}, "
                + $"node '{finding.Anchor.Name}' ({finding.Anchor.OpType}): {finding.Mismatch}.")));
    }

    private static void ThrowIfOthers(Graph graph, UNet2DConditionConfig config, int[] blocks, int foundInAll)
    {
        var inUp = Enumerable.Range(0, config.BlockCount).Select(InUp).ToArray();
        for (var block = 0; block < Math.Max(inUp.Length, blocks.Max() + 1); block++)
        {
            var (expected, found) = (block < inUp.Length ? inUp[block] : 0, blocks.Count(other => other == block));
            if (expected != found)
            {
                throw new InvalidDataException(
                    $"Up block {block} of graph '{graph.Name}': expected {expected} self-attentions by the configuration, found {found}.");
            }
        }
        var inDown = Enumerable.Range(0, config.BlockCount).Sum(block => config.DownBlockTypes[block] != UNet2DCondition.AttentionDown ? 0
            : config.LayersOf(block) * config.TransformerLayersOf(block));
        var inAll = inUp.Sum() + inDown + config.TransformerLayersOf(config.BlockCount - 1);
        if (foundInAll != inAll)
        {
            throw new InvalidDataException($"Graph '{graph.Name}': expected {inAll} self-attentions by the configuration, {inUp.Sum()} of "
                + $"them in up blocks, found {foundInAll}.");
        }

        // Blocks on the way up are numbered from the lowest resolution, and have one layer more than on the way down.
        int InUp(int number)
        {
            var block = config.BlockCount - 1 - number;
            return config.UpBlockTypes[number] != UNet2DCondition.AttentionUp ? 0
                : (config.LayersOf(block) + 1) * config.TransformerLayersOf(block);
        }
    }

    private static int HeadsOf(SelfAttention attention, int? configured)
    {
        if (attention.HeadCount is { } told && configured is { } other && told != other)
            throw new InvalidDataException($"{attention.Name}: expected {other} heads by the configuration, found {told}.");
        var heads = attention.HeadCount ?? configured ?? throw new InvalidDataException(
            $"{attention.Name}: the graph does not tell the number of heads. Expected a Reshape of '{attention.Query.Value}' to "
            + "[B, N, heads, d]; give the UNet's configuration.");
        if (heads < 1 || attention.Channels % heads != 0)
            throw new InvalidDataException($"{attention.Name}: expected heads that divide {attention.Channels} channels, found {heads}.");
        return heads;
    }
}
