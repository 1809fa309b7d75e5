namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>Bi-level routing attention and its gradient in double precision, straight from the definition.</summary>
internal sealed class BiLevelRoutingReference
{
    private readonly BiLevelRoutingCase _case;
    private readonly double[] _query;
    private readonly double[] _key;
    private readonly double[] _value;

    public BiLevelRoutingReference(BiLevelRoutingCase @case, long[]? routing = null)
        : this(@case, @case.Inputs, routing)
    {
    }

    public BiLevelRoutingReference(BiLevelRoutingCase @case, double[][] inputs, long[]? routing = null)
    {
        (_case, _query, _key, _value) = (@case, inputs[0], inputs[1], inputs[2]);
        Logits = RoutingLogits();
        Routing = routing ?? Route();
        Output = new double[_value.Length];
        LogSumExp = new double[@case.N * @case.Heads * @case.H * @case.W];
        ForEachRow(Attend);
    }

    private delegate void Row(int n, int head, int y, int x, List<(int Y, int X)> keys);

    public double[] Output { get; }

    public double[] LogSumExp { get; }

    /// <summary>[N, R, R].</summary>
    public double[] Logits { get; }

    public long[] Routing { get; }

    /// <returns>The gradients of query, key and value.</returns>
    public double[][] Gradient(double[] outputGrad)
    {
        var c = _case;
        var (dq, dk, dv) = (new double[_query.Length], new double[_key.Length], new double[_value.Length]);
        ForEachRow((n, head, y, x, keys) =>
        {
            var (d, e) = (c.Cq / c.Heads, c.C / c.Heads);
            var probabilities = Probabilities(n, head, y, x, keys, out _);
            var products = new double[keys.Count];
            for (var j = 0; j < keys.Count; j++)
            {
                for (var i = 0; i < e; i++)
                    products[j] += outputGrad[At(n, y, x, c.C) + head * e + i] * Of(_value, n, keys[j], c.C, head * e + i);
            }
            var mean = products.Zip(probabilities, (a, b) => a * b).Sum();
            for (var j = 0; j < keys.Count; j++)
            {
                var scoreGrad = probabilities[j] * (products[j] - mean) * c.ScaleValue;
                for (var i = 0; i < d; i++)
                    dq[At(n, y, x, c.Cq) + head * d + i] += scoreGrad * Of(_key, n, keys[j], c.Cq, head * d + i);
                if (!IsOnMap(keys[j]))
                    continue;
                for (var i = 0; i < d; i++)
                    dk[At(n, keys[j].Y, keys[j].X, c.Cq) + head * d + i] += scoreGrad * _query[At(n, y, x, c.Cq) + head * d + i];
                for (var i = 0; i < e; i++)
                    dv[At(n, keys[j].Y, keys[j].X, c.C) + head * e + i] += probabilities[j] * outputGrad[At(n, y, x, c.C) + head * e + i];
            }
        });
        return [dq, dk, dv];
    }

    private void Attend(int n, int head, int y, int x, List<(int Y, int X)> keys)
    {
        var c = _case;
        var probabilities = Probabilities(n, head, y, x, keys, out var logSumExp);
        LogSumExp[((n * c.Heads + head) * c.H + y) * c.W + x] = logSumExp;
        var width = c.C / c.Heads;
        for (var i = head * width; i < (head + 1) * width; i++)
            Output[At(n, y, x, c.C) + i] = keys.Select((key, j) => probabilities[j] * Of(_value, n, key, c.C, i)).Sum();
    }

    private double[] Probabilities(int n, int head, int y, int x, List<(int Y, int X)> keys, out double logSumExp)
    {
        var width = _case.Cq / _case.Heads;
        var scores = new double[keys.Count];
        for (var j = 0; j < keys.Count; j++)
        {
            for (var i = head * width; i < (head + 1) * width; i++)
                scores[j] += _query[At(n, y, x, _case.Cq) + i] * Of(_key, n, keys[j], _case.Cq, i) * _case.ScaleValue;
        }
        var max = scores.Max();
        var sum = scores.Sum(score => Math.Exp(score - max));
        logSumExp = max + Math.Log(sum);
        return [.. scores.Select(score => Math.Exp(score - max) / sum)];
    }

    private void ForEachRow(Row row)
    {
        for (var n = 0; n < _case.N; n++)
        {
            for (var y = 0; y < _case.H; y++)
            {
                for (var x = 0; x < _case.W; x++)
                {
                    var region = y / _case.RegionHeight * _case.RegionColumns + x / _case.RegionWidth;
                    var keys = new List<(int, int)>();
                    for (var i = 0; i < _case.TopK; i++)
                        keys.AddRange(Tokens((int)Routing[(n * _case.Regions + region) * _case.TopK + i]));
                    for (var head = 0; head < _case.Heads; head++)
                        row(n, head, y, x, keys);
                }
            }
        }
    }

    private double[] RoutingLogits()
    {
        var logits = new double[_case.N * _case.Regions * _case.Regions];
        for (var n = 0; n < _case.N; n++)
        {
            var (q, k) = (Means(_query, n), Means(_key, n));
            for (var a = 0; a < _case.Regions; a++)
            {
                for (var b = 0; b < _case.Regions; b++)
                    logits[(n * _case.Regions + a) * _case.Regions + b] = q[a].Zip(k[b], (x, y) => x * y).Sum();
            }
        }
        return logits;
    }

    private double[][] Means(double[] map, int n) => [.. Enumerable.Range(0, _case.Regions).Select(region =>
    {
        var tokens = Tokens(region).Where(IsOnMap).ToList();
        return Enumerable.Range(0, _case.Cq).Select(i => tokens.Average(token => Of(map, n, token, _case.Cq, i))).ToArray();
    })];

    private long[] Route() => [.. Enumerable.Range(0, _case.N * _case.Regions).SelectMany(row =>
        Enumerable.Range(0, _case.Regions).OrderByDescending(region => Logits[row * _case.Regions + region]).ThenBy(region => region)
            .Take(_case.TopK).Select(region => (long)region))];

    private IEnumerable<(int Y, int X)> Tokens(int region)
    {
        for (var y = 0; y < _case.RegionHeight; y++)
        {
            for (var x = 0; x < _case.RegionWidth; x++)
                yield return (region / _case.RegionColumns * _case.RegionHeight + y, region % _case.RegionColumns * _case.RegionWidth + x);
        }
    }

    private bool IsOnMap((int Y, int X) token) => token.Y < _case.H && token.X < _case.W;

    private double Of(double[] map, int n, (int Y, int X) token, int channels, int channel) =>
        IsOnMap(token) ? map[At(n, token.Y, token.X, channels) + channel] : 0;

    private int At(int n, int y, int x, int channels) => ((n * _case.H + y) * _case.W + x) * channels;
}
