namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The sizes of a group normalisation: each group is channels of one example, which lie next to each other.</summary>
/// <param name="Batch">The number of examples.</param>
/// <param name="Channels">The number of channels.</param>
/// <param name="Groups">The number of groups of an example.</param>
/// <param name="Positions">The number of elements of a channel.</param>
internal readonly record struct GroupNormSizes(long Batch, int Channels, int Groups, long Positions)
{
    public int GroupChannels => Channels / Groups;

    /// <summary>The number of elements of a group.</summary>
    public long GroupLength => GroupChannels * Positions;

    /// <summary>The number of groups of all examples.</summary>
    public int AllGroups => checked((int)(Batch * Groups));

    /// <exception cref="KernelException">The input is not of [N, C, ...], or its channels do not divide into the groups.</exception>
    public static GroupNormSizes Of(KernelInput x, int groups)
    {
        var shape = x.Shape;
        if (shape.Rank < 2 || shape[1] % groups != 0)
            throw new KernelException($"input 'x' has shape {shape}, expected [N, C, ...] with C a multiple of num_groups = {groups}");
        return new(shape.Dims[0], shape[1], groups, TensorShape.CountOf(shape.Dims[2..]));
    }
}
