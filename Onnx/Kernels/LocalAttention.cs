namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The attributes that efficient local attention and its gradient have.</summary>
internal sealed class LocalAttention
{
    private readonly int _group;
    private readonly int _normGroups;
    private readonly float _epsilon;

    public LocalAttention(KernelAttributes attributes)
    {
        _group = attributes.PositiveInt("group");
        _normGroups = attributes.PositiveInt("num_groups");
        _epsilon = attributes.Float("epsilon");
    }

    /// <summary>Checks the inputs x, weight, scale and bias, of which x is input <paramref name="first"/>.</summary>
    public LocalAttentionSizes Sizes(KernelContext context, int first)
    {
        var x = context.Input(first).Expect("[N, C, H, W]", -1, -1, -1, -1).Shape;
        if (x.Dims.Contains(0))
            throw new KernelException($"input 'x' has shape {x}, expected at least one element");
        var channels = x[1];
        if (channels % _group != 0 || channels % _normGroups != 0)
        {
            throw new KernelException(
                $"input 'x' has {channels} channels, expected a multiple of group = {_group} and of num_groups = {_normGroups}");
        }
        var weight = context.Input(first + 1).Expect("[C, C / group, k]", channels, channels / _group, -1).Shape;
        if (weight[2] % 2 == 0)
            throw new KernelException($"input 'weight' has shape {weight}, expected an odd last dimension");
        context.Input(first + 2).Expect("[C]", channels);
        context.Input(first + 3).Expect("[C]", channels);
        return new LocalAttentionSizes
        {
            Batch = x[0],
            Channels = channels,
            Height = x[2],
            Width = x[3],
            Kernel = weight[2],
            ChannelsPerGroup = channels / _group,
            ChannelsPerNormGroup = channels / _normGroups,
            Epsilon = _epsilon,
        };
    }
}

/// <summary>The sizes of one call of efficient local attention or its gradient.</summary>
internal readonly struct LocalAttentionSizes
{
    public required int Batch { get; init; }

    public required int Channels { get; init; }

    public required int Height { get; init; }

    public required int Width { get; init; }

    /// <summary>Taps of the convolution.</summary>
    public required int Kernel { get; init; }

    /// <summary>Channels of a group of the convolution.</summary>
    public required int ChannelsPerGroup { get; init; }

    /// <summary>Channels of a group of the normalisation.</summary>
    public required int ChannelsPerNormGroup { get; init; }

    /// <summary>What is added to the variances.</summary>
    public required float Epsilon { get; init; }

    /// <summary>The fewest channels that neither convolution nor normalisation mix with others.</summary>
    public int BlockChannels
    {
        get
        {
            var (divisor, rest) = (ChannelsPerGroup, ChannelsPerNormGroup);
            while (rest != 0)
                (divisor, rest) = (rest, divisor % rest);
            return ChannelsPerGroup / divisor * ChannelsPerNormGroup;
        }
    }

    /// <summary>Blocks of an image.</summary>
    public int Blocks => Channels / BlockChannels;

    public long PlaneSize => (long)Height * Width;
}
