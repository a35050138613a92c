// Command peer does in Go what `make bench ARGS=peer` compares this exporter with: it polls the balances of vaults one
// after the other at the pace of the documented budget, and exposes them by a custom collector of client_golang.
//
// It is as plain as such an exporter usually is. It has no retries, no pages, and keeps balances until the next answer.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const maxAnswerBytes = 4 << 20

// Config is the part that it needs of the exporter's configuration file, which has to be JSON.
type Config struct {
	API struct {
		BaseURL string `json:"base_url"`
	} `json:"api"`
	Organizations []struct {
		Name   string  `json:"name"`
		Vaults []Vault `json:"vaults"`
	} `json:"organizations"`
}

// Vault is what is polled.
type Vault struct {
	Name         string `json:"name"`
	ID           string `json:"id"`
	organization string
}

// Row is one asset of a vault; nil is what the API left out.
type Row struct {
	Asset            string   `json:"asset"`
	AssetClass       string   `json:"asset_class"`
	QuoteAsset       string   `json:"quote_asset"`
	Balance          *float64 `json:"balance,string"`
	Spot             *float64 `json:"spot,string"`
	Hold             *float64 `json:"hold,string"`
	Available        *float64 `json:"available,string"`
	Pledged          *float64 `json:"pledged,string"`
	Staked           *float64 `json:"staked,string"`
	BalanceDiff      *float64 `json:"balance_diff,string"`
	QuoteBalance     *float64 `json:"quote_balance,string"`
	QuoteSpotBalance *float64 `json:"quote_spot_balance,string"`
	QuoteAvailable   *float64 `json:"quote_available,string"`
	QuotePrice       *float64 `json:"quote_price,string"`
}

// Client signs and sends requests of one key, on a connection that is kept.
type Client struct {
	http    *http.Client
	baseURL string
	key     string
	secret  []byte
	nonce   int64
}

// Balances returns the rows of a vault.
func (c *Client) Balances(vaultID string) ([]Row, error) {
	target := "/v0/insto/custody/vaults/" + vaultID + "/assets/balances?quote=USD&full_precision=true"
	request, err := http.NewRequest(http.MethodGet, c.baseURL+target, nil)
	if err != nil {
		return nil, err
	}
	c.nonce = max(c.nonce+1, time.Now().UnixNano())
	nonce := strconv.FormatInt(c.nonce, 10)
	request.Header.Set("Api-Key", c.key)
	request.Header.Set("Api-Nonce", nonce)
	request.Header.Set("Api-Sign", sign(c.secret, target, nonce))
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", vaultID, answer.Status)
	}
	var rows []Row
	return rows, json.Unmarshal(body, &rows)
}

func sign(secret []byte, target, nonce string) string {
	digest := sha256.Sum256([]byte(nonce))
	mac := hmac.New(sha512.New, secret)
	mac.Write([]byte(target))
	mac.Write(digest[:])
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

type metric struct {
	desc    *prometheus.Desc
	value   func(*Row) *float64
	isQuote bool
}

func amount(name, field, what string, value func(*Row) *float64) metric {
	return newMetric(name, field, what, "the asset", []string{"asset", "asset_class"}, value)
}

func quote(name, field, what string, value func(*Row) *float64) metric {
	m := newMetric(
		"quote_"+name, field, what, "quote_asset", []string{"asset", "asset_class", "quote_asset"}, value)
	m.isQuote = true
	return m
}

func newMetric(name, field, what, units string, labels []string, value func(*Row) *float64) metric {
	help := fmt.Sprintf("%s, in units of %s (API field %s).", what, units, field)
	labels = append([]string{"org", "vault", "vault_id"}, labels...)
	desc := prometheus.NewDesc("kraken_custody_vault_"+name, help, labels, nil)
	return metric{desc: desc, value: value}
}

var metrics = []metric{
	amount("balance", "balance", "Total balance of the asset in the vault", func(r *Row) *float64 { return r.Balance }),
	amount("spot_balance", "spot", "Spot part of the balance", func(r *Row) *float64 { return r.Spot }),
	amount("hold_balance", "hold", "Balance on hold", func(r *Row) *float64 { return r.Hold }),
	amount("available_balance", "available", "Balance that is available", func(r *Row) *float64 { return r.Available }),
	amount("pledged_balance", "pledged", "Pledged part of the balance", func(r *Row) *float64 { return r.Pledged }),
	amount("staked_balance", "staked", "Staked part of the balance", func(r *Row) *float64 { return r.Staked }),
	amount("balance_diff", "balance_diff", "Day-over-day change", func(r *Row) *float64 { return r.BalanceDiff }),
	quote("balance", "quote_balance", "Value of the total balance", func(r *Row) *float64 { return r.QuoteBalance }),
	quote("spot_balance", "quote_spot_balance", "Value of the spot part", func(r *Row) *float64 { return r.QuoteSpotBalance }),
	quote("available_balance", "quote_available", "Value of what is available", func(r *Row) *float64 { return r.QuoteAvailable }),
	quote("price", "quote_price", "Price of one unit of the asset", func(r *Row) *float64 { return r.QuotePrice }),
}

// Collector exposes the last answer of each vault.
type Collector struct {
	mutex sync.Mutex
	rows  map[Vault][]Row
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range metrics {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(samples chan<- prometheus.Metric) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for vault, rows := range c.rows {
		for i := range rows {
			row := &rows[i]
			for _, m := range metrics {
				value := m.value(row)
				if value == nil {
					continue
				}
				labels := []string{vault.organization, vault.Name, vault.ID, row.Asset, row.AssetClass}
				if m.isQuote {
					labels = append(labels, row.QuoteAsset)
				}
				samples <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, *value, labels...)
			}
		}
	}
}

func (c *Collector) put(vault Vault, rows []Row) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.rows[vault] = rows
}

func poll(client *Client, vaults []Vault, collector *Collector, pace time.Duration) {
	ticker := time.NewTicker(pace)
	for {
		for _, vault := range vaults {
			rows, err := client.Balances(vault.ID)
			if err != nil {
				log.Print(err)
			} else {
				collector.put(vault, rows)
			}
			<-ticker.C
		}
	}
}

func run() error {
	configFile := flag.String("config.file", "", "the exporter's configuration, as JSON")
	address := flag.String("web.listen-address", "", "host and port")
	pace := flag.Duration("pace", 0, "from one request to the next")
	flag.Parse()
	text, err := os.ReadFile(*configFile)
	if err != nil {
		return err
	}
	var config Config
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	secret, err := base64.StdEncoding.DecodeString(os.Getenv("SECRET"))
	if err != nil {
		return errors.New("SECRET is not base64")
	}
	var vaults []Vault
	for _, organization := range config.Organizations {
		for _, vault := range organization.Vaults {
			vault.organization = organization.Name
			vaults = append(vaults, vault)
		}
	}
	if len(vaults) == 0 {
		return errors.New("there is no vault to poll")
	}
	client := &Client{
		http:    &http.Client{Timeout: 10 * time.Second},
		baseURL: config.API.BaseURL,
		key:     os.Getenv("KEY"),
		secret:  secret,
	}
	collector := &Collector{rows: map[Vault][]Row{}}
	prometheus.MustRegister(collector)
	go poll(client, vaults, collector, *pace)
	http.Handle("/metrics", promhttp.Handler())
	return http.ListenAndServe(*address, nil)
}

func main() {
	log.Fatal(run())
}
