using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>The self-attentions of a UNet's way up, with the level that each is on.</summary>
internal static class UpBlockAttentions
{
    /// <summary>Finds them, in the order in which they run; level 0 is the lowest resolution that has one.</summary>
    /// <exception cref="InvalidDataException">There are none, or some that do not match.</exception>
    public static IReadOnlyList<(SelfAttention Attention, int Level)> Find(GraphIndex index)
    {
        if (index.Graph.Nodes.Exists(node => node is { OpType: nameof(ConsistentSelfAttention), Domain: AttentionOp.Domain }))
            throw new InvalidDataException($"Graph '{index.Graph.Name}' has consistent self-attention already.");
        var findings = new AttentionFinder(index).Find().ToArray();
        var way = new UpPath(index);
        var up = Array.FindAll(findings, finding => finding.Path?.IsUp ?? way.BlockOf(finding.Anchor) is not null);
        var mismatches = Array.FindAll(up, finding => finding.Mismatch is not null && finding.Path?.IsCross != true);
        if (mismatches.Length > 0)
        {
            throw new InvalidDataException(
                $"{mismatches.Length} of the attentions in up blocks of graph '{index.Graph.Name}' do not match:\n"
                + string.Join("\n", mismatches.Select(finding =>
                    $"  {finding.Path?.ToString() ?? "(no module named)"}, node '{finding.Anchor.Name}' ({finding.Anchor.OpType}): {finding.Mismatch}.")));
        }
        if (!Array.Exists(up, finding => finding.Attention is not null))
        {
            throw new InvalidDataException($"Graph '{index.Graph.Name}' has no self-attention in up blocks. Expected nodes named after "
                + "/up_blocks.K/, or a Concat of skip connections that a convolution of size 1 x 1 reads, and attentions after it; found "
                + $"{findings.Length} attentions and {way.Joints.Count} such Concats.");
        }
        var attentions = up.Select(finding => finding.Attention!).ToArray();
        var blocks = Array.ConvertAll(attentions, Block);
        var levels = blocks.Distinct().Order().ToList();
        return [.. attentions.Zip(blocks, (attention, block) => (attention, levels.IndexOf(block)))];

        int Block(SelfAttention attention) => attention.Path?.BlockIndex ?? way.BlockOf(attention.Anchor)!.Value;
    }
}
