namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The vector operations that the kernels use, so that one kernel text serves every vector width and element type. The JIT compiles a
/// kernel for each combination into the bare instructions.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="double"/>.</typeparam>
/// <typeparam name="TVector">The vector of <typeparamref name="T"/>.</typeparam>
internal unsafe interface ISimd<T, TVector>
    where T : unmanaged
    where TVector : unmanaged
{
    /// <summary>Elements in a vector.</summary>
    static abstract int Width { get; }

    static abstract TVector Load(T* source);

    static abstract void Store(TVector value, T* destination);

    static abstract TVector Broadcast(T value);

    /// <summary>Repeats the elements at <paramref name="source"/> that make up one <typeparamref name="TGroup"/>.</summary>
    /// <typeparam name="TGroup">T, or a vector of T that is shorter than <typeparamref name="TVector"/>.</typeparam>
    static abstract TVector BroadcastGroup<TGroup>(T* source) where TGroup : unmanaged;

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Subtract(TVector a, TVector b);

    static abstract TVector Multiply(TVector a, TVector b);

    static abstract TVector Divide(TVector a, TVector b);

    static abstract TVector SquareRoot(TVector value);

    /// <summary>The elements of <paramref name="value"/> with the signs of those of <paramref name="sign"/>.</summary>
    static abstract TVector CopySign(TVector value, TVector sign);

    /// <summary>a * b + c.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    static abstract TVector Max(TVector a, TVector b);

    /// <summary>e^x; for float exact to about 1e-7 and no less than 1e-38.</summary>
    static abstract TVector Exp(TVector x);

    /// <summary>
    /// Multiplies floats by powers of two: <paramref name="shifted"/> is the exponent plus 1.5 * 2^23, whose low bits are the exponent.
    /// </summary>
    static abstract TVector ScaleByPowerOfTwo(TVector value, TVector shifted);

    static abstract T Sum(TVector value);

    static abstract T MaxElement(TVector value);
}
