namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>One self-attention that <see cref="ConsistentUnet"/> made consistent.</summary>
/// <param name="Index">Its number in the order in which they run; the names of its inputs and outputs end in it.</param>
/// <param name="Name">
/// The path of its module, such as <c>up_blocks.0.attentions.1.transformer_blocks.0.attn1</c>, or its node's name.
/// </param>
/// <param name="Channels">The number of channels C of its tokens.</param>
/// <param name="HeadCount">The number of heads.</param>
/// <param name="Level">The resolution, 0 for the lowest that has attention; the name of its mask ends in it.</param>
public sealed record ConsistentLayer(int Index, string Name, int Channels, int HeadCount, int Level)
{
    /// <summary>The input that takes keys of images seen before: [groups, M, C], M may be 0.</summary>
    public string BankKeyInput => $"csa_bank_key.{Index}";

    /// <summary>The input that takes values of images seen before: [groups, M, C].</summary>
    public string BankValueInput => $"csa_bank_value.{Index}";

    /// <summary>The output that gives the keys of this batch: [groups * n, N, C].</summary>
    public string KeyOutput => $"csa_key.{Index}";

    /// <summary>The output that gives the values of this batch: [groups * n, N, C].</summary>
    public string ValueOutput => $"csa_value.{Index}";

    /// <summary>
    /// The input that takes the mask of this layer's level: bool [n, M + n * N], for each image the keys of the bank and of all images
    /// that it may attend to.
    /// </summary>
    public string MaskInput => $"csa_mask.{Level}";
}
