namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The struct Sizes of bi_level_routing.cuh.</summary>
internal readonly struct BiLevelRoutingParameters(in BiLevelRoutingSizes sizes)
{
    public readonly int Batch = sizes.Batch;
    public readonly int Height = sizes.Layout.Height;
    public readonly int Width = sizes.Layout.Width;
    public readonly int RegionHeight = sizes.Layout.RegionHeight;
    public readonly int RegionWidth = sizes.Layout.RegionWidth;
    public readonly int RegionColumns = sizes.Layout.Columns;
    public readonly int Regions = sizes.Layout.Count;
    public readonly int Tokens = sizes.Layout.Tokens;
    public readonly int Heads = sizes.Heads;
    public readonly int TopK = sizes.TopK;
    public readonly int QueryChannels = sizes.QueryChannels;
    public readonly int ValueChannels = sizes.ValueChannels;
    public readonly float Scale = (float)sizes.Scale;
    public readonly Divisor ByTokens = new(sizes.Layout.Tokens);
    public readonly Divisor ByRegionWidth = new(sizes.Layout.RegionWidth);
    public readonly Divisor ByRegionColumns = new(sizes.Layout.Columns);
}
