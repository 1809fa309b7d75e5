using System.Text.RegularExpressions;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>The path of an attention's module in diffusers' UNet, read from names that an exporter left.</summary>
/// <param name="Block"><c>down_blocks</c>, <c>mid_block</c> or <c>up_blocks</c>.</param>
/// <param name="BlockIndex">The number of the block; 0 for the middle.</param>
/// <param name="Text">The whole path, with dots.</param>
internal sealed partial record ModulePath(string Block, int BlockIndex, string Text)
{
    public bool IsUp => Block == "up_blocks";

    /// <summary>Whether it is the attention of a transformer block to its own tokens.</summary>
    public bool IsSelf => Text.EndsWith("attn1", StringComparison.Ordinal);

    /// <summary>Whether it is the attention of a transformer block to the text.</summary>
    public bool IsCross => Text.EndsWith("attn2", StringComparison.Ordinal);

    /// <summary>
    /// The path in a node's name, its metadata, or the names of its parameters; null where there is none. Names of other inputs tell
    /// where these come from.
    /// </summary>
    public static ModulePath? Of(Node node) =>
        Longest(node.Metadata.Values.Append(node.Name)) ?? Longest(node.Inputs.Where(input =>
            input.EndsWith(".weight", StringComparison.Ordinal) || input.EndsWith(".bias", StringComparison.Ordinal)));

    /// <summary>The path in a text, such as <c>/up_blocks.0/attentions.1/transformer_blocks.0/attn1/Softmax</c>.</summary>
    public static ModulePath? Parse(string text)
    {
        var match = Pattern().Matches(text).MaxBy(match => match.Length);
        if (match is null)
            return null;
        var index = match.Groups["index"].Value;
        return new(match.Groups["block"].Value, index.Length > 0 ? int.Parse(index) : 0, match.Value.Replace('/', '.'));
    }

    public override string ToString() => Text;

    private static ModulePath? Longest(IEnumerable<string> texts) => texts.Select(Parse).MaxBy(path => path?.Text.Length);

    // Exports by PyTorch's newer exporter list the paths of all modules around a node: the longest is the node's.
    [GeneratedRegex(
        @"((?<block>down_blocks|up_blocks)\.(?<index>\d+)|(?<block>mid_block))([./](attentions|transformer_blocks|attn\d+)(\.\d+)?)*")]
    private static partial Regex Pattern();
}
