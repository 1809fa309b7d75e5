using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The inputs of one call of consistent self-attention.</summary>
internal unsafe struct ConsistentSelfAttentionInputs<T> where T : unmanaged
{
    public int Groups;

    /// <summary>Images of a group.</summary>
    public int Images;

    /// <summary>Tokens of an image.</summary>
    public int Tokens;

    /// <summary>Tokens in the bank of a group.</summary>
    public int BankTokens;

    /// <summary>Channels of all heads.</summary>
    public int Channels;

    public int Heads;

    /// <summary>What the products of queries and keys are multiplied by.</summary>
    public float Scale;

    public ConsistentAttentionMode Mode;

    /// <summary>[G, n, N, C]</summary>
    public T* Query;

    /// <summary>[G, n, N, C]</summary>
    public T* Key;

    /// <summary>[G, n, N, C]</summary>
    public T* Value;

    /// <summary>[G, M, C]</summary>
    public T* BankKey;

    /// <summary>[G, M, C]</summary>
    public T* BankValue;

    /// <summary>[n, M + n * N]</summary>
    public bool* KeyMask;

    /// <summary>Channels of one head.</summary>
    public readonly int Width => Channels / Heads;

    /// <summary>Keys of a group, those of the bank first.</summary>
    public readonly int Keys => BankTokens + (Images * Tokens);

    /// <summary>The first of the keys that are an image's own.</summary>
    public readonly int FirstOwn(int image) => BankTokens + (image * Tokens);

    /// <summary>The row of a group's key, or of what belongs to it, in one of two arrays.</summary>
    /// <param name="bank">[G, M, C]</param>
    /// <param name="images">[G, n, N, C]</param>
    /// <param name="group">The group.</param>
    /// <param name="key">The number of the key.</param>
    public readonly T* Row(T* bank, T* images, int group, int key) => key < BankTokens
        ? bank + ((((long)group * BankTokens) + key) * Channels)
        : images + ((((long)group * Images * Tokens) + (key - BankTokens)) * Channels);

    /// <summary>Lists the keys that an image may attend to. For inputs on the host.</summary>
    /// <returns>Their number.</returns>
    public readonly int ListKeys(int image, int* list)
    {
        var count = 0;
        var firstOwn = FirstOwn(image);
        var mask = KeyMask + ((long)image * Keys);
        for (var key = 0; key < Keys; key++)
        {
            var isOwn = key >= firstOwn && key < firstOwn + Tokens;
            if (isOwn || Mode == ConsistentAttentionMode.All || (Mode == ConsistentAttentionMode.Masked && mask[key]))
                list[count++] = key;
        }
        return count;
    }
}

/// <summary>The attributes of consistent self-attention, and its inputs.</summary>
internal sealed unsafe class ConsistentSelfAttentionArguments(KernelAttributes attributes)
{
    private readonly int _heads = attributes.PositiveInt("head_count");
    private readonly float _scale = NotNegative(attributes.Float("scale", 0));
    private readonly int _groups = attributes.PositiveInt("group_count");
    private readonly int _layer = Layer(attributes.Int("layer"));

    /// <summary>Reads the inputs, of which the query is number <paramref name="first"/>.</summary>
    public ConsistentSelfAttentionInputs<T> Read<T>(KernelContext context, int first) where T : unmanaged
    {
        var query = context.Input(first).Expect("[G * n, N, C]", -1, -1, -1);
        var (batch, tokens, channels) = (query.Shape[0], query.Shape[1], query.Shape[2]);
        if (batch % _groups != 0)
            throw new KernelException($"input 'query' has {batch} images, expected a multiple of group_count = {_groups}");
        if (channels % _heads != 0)
            throw new KernelException($"input 'query' has {channels} channels, expected a multiple of head_count = {_heads}");
        var bankKey = context.Input(first + 3).Expect("[G, M, C]", _groups, -1, channels);
        var inputs = new ConsistentSelfAttentionInputs<T>
        {
            Groups = _groups, Images = batch / _groups, Tokens = tokens, BankTokens = bankKey.Shape[1], Channels = channels,
            Heads = _heads, Scale = _scale != 0 ? _scale : 1 / MathF.Sqrt(channels / _heads), Mode = Mode(context.Input(first + 6)),
            Query = query.Data<T>(), BankKey = bankKey.Data<T>(),
            Key = context.Input(first + 1).Expect("[G * n, N, C]", batch, tokens, channels).Data<T>(),
            Value = context.Input(first + 2).Expect("[G * n, N, C]", batch, tokens, channels).Data<T>(),
            BankValue = context.Input(first + 4).Expect("[G, M, C]", _groups, bankKey.Shape[1], channels).Data<T>(),
        };
        if (bankKey.Shape[1] + ((long)inputs.Images * tokens) > int.MaxValue)
            throw new KernelException($"there are {bankKey.Shape[1]} keys in the bank and {batch} images of {tokens}, which is too many");
        inputs.KeyMask = context.Input(first + 5).Expect("[n, M + n * N]", inputs.Images, inputs.Keys).Data<bool>();
        return inputs;
    }

    private ConsistentAttentionMode Mode(KernelInput mode)
    {
        var layers = mode.Expect("[layers]", -1).Shape[0];
        if (_layer >= layers)
            throw new KernelException($"input 'mode' has {layers} elements, too few for layer = {_layer}");
        var value = (ConsistentAttentionMode)mode.Data<int>()[_layer];
        return Enum.IsDefined(value)
            ? value
            : throw new KernelException($"element {_layer} of input 'mode' is {(int)value}, expected 0 (own tokens), 1 (all) or 2 (masked)");
    }

    private static float NotNegative(float scale) => scale >= 0
        ? scale
        : throw new KernelException($"attribute 'scale' is {scale}, expected a positive number, or 0 for the usual one");

    private static int Layer(long layer) => layer is >= 0 and <= int.MaxValue
        ? (int)layer
        : throw new KernelException($"attribute 'layer' is {layer}, expected the number of a layer, counted from 0");
}
